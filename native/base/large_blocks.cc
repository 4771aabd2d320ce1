#include "base/large_blocks.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <mutex>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace lookback {
namespace {

/// From here on a block has whole huge pages inside it, wherever it begins.
constexpr size_t kHuge = size_t{4} << 20;
/// How many blocks wait at most.
constexpr size_t kSpareCount = 64;

#if defined(__unix__) || defined(__APPLE__)

size_t whole_pages(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

/// `filled`: the caller writes all of it.
void* map_pages(size_t bytes, bool filled) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_POPULATE)
  // All pages in one call, where each will be written anyway: a fault for each takes longer.
  if (filled && bytes < kHuge) flags |= MAP_POPULATE;
#endif
  void* const block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (block == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  // A wish: a tape is walked in strides that would miss the TLB at every step, and a fresh array
  // costs one fault for 512. Where it is refused the pages stay small.
  if (bytes >= kHuge) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

void unmap_pages(void* block, size_t bytes) { munmap(block, bytes); }

#else

size_t whole_pages(size_t bytes) { return bytes; }
void* map_pages(size_t, bool) { return nullptr; }
void unmap_pages(void*, size_t) {}

#endif

struct Block {
  void* start = nullptr;
  size_t bytes = 0;
};

/// Blocks that nobody holds at the moment, the oldest first.
class SpareBlocks {
 public:
  /// The smallest spare of `bytes` to a quarter more; none: a null block.
  Block take(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t best = count_;
    for (size_t i = 0; i < count_; ++i) {
      if (spares_[i].bytes < bytes || spares_[i].bytes - bytes > bytes / 4) continue;
      if (best == count_ || spares_[i].bytes < spares_[best].bytes) best = i;
    }
    return best == count_ ? Block{} : remove(best);
  }

  /// Keeps a block and lets the oldest go where there are too many.
  void give(Block block) {
    if (block.bytes > kSpareBytes) return unmap_pages(block.start, block.bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    while (count_ == kSpareCount || total_ + block.bytes > kSpareBytes) drop_oldest();
    spares_[count_++] = block;
    total_ += block.bytes;
  }

  bool clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == 0) return false;
    while (count_ > 0) drop_oldest();
    return true;
  }

 private:
  Block remove(size_t at) {
    const Block block = spares_[at];
    for (size_t i = at + 1; i < count_; ++i) spares_[i - 1] = spares_[i];
    --count_;
    total_ -= block.bytes;
    return block;
  }

  void drop_oldest() {
    const Block oldest = remove(0);
    unmap_pages(oldest.start, oldest.bytes);
  }

  std::mutex mutex_;
  std::array<Block, kSpareCount> spares_;
  size_t count_ = 0;
  size_t total_ = 0;
};

/// Never destroyed: JavaScript's arrays may outlive everything else in the process.
SpareBlocks& spare_blocks() {
  static SpareBlocks& blocks = *new SpareBlocks();
  return blocks;
}

}  // namespace

void* allocate_large_block(size_t& bytes, bool zeroed) noexcept {
  if (bytes > SIZE_MAX / 2) return nullptr;
  bytes = whole_pages(bytes);
  const Block spare = spare_blocks().take(bytes);
  if (spare.start == nullptr) return map_pages(bytes, !zeroed);
  if (zeroed) std::memset(spare.start, 0, bytes);
  bytes = spare.bytes;
  return spare.start;
}

void fault_in(void* memory, size_t bytes) noexcept {
#if defined(MADV_POPULATE_WRITE)
  if (bytes < kLargeBlock) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const auto last = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE);
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

void free_large_block(void* block, size_t bytes) noexcept { spare_blocks().give({block, bytes}); }

bool release_spare_blocks() noexcept { return spare_blocks().clear(); }

}  // namespace lookback
