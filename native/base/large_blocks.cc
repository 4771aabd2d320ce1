#include "base/large_blocks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/system_memory.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace lookback {
namespace {

/// How many blocks wait at most.
constexpr size_t kSpareCount = 64;

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
    if (best == count_) return {};
    in_use_ += spares_[best].bytes;
    return remove(best);
  }

  /// A fresh block is in use.
  void count(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    in_use_ += bytes;
  }

  /// Keeps a block that was in use, where there is room, and lets the oldest go where there are too
  /// many.
  void give(Block block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    in_use_ -= block.bytes;
    const size_t room = std::clamp(in_use_, kSpareBytes, kMostSpareBytes);
    const size_t kept = block.bytes <= room ? block.bytes : 0;
    while (count_ == kSpareCount || total_ + kept > room) drop_oldest();
    if (kept == 0) return unmap_pages(block.start, block.bytes);
    spares_[count_++] = block;
    total_ += block.bytes;
  }

  bool clear() {
    std::array<Block, kSpareCount> gone;
    size_t count = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::swap(count, count_);
      gone.swap(spares_);
      total_ = 0;
    }
    // Nobody waits meanwhile: it takes milliseconds.
    for (size_t i = 0; i < count; ++i) unmap_pages(gone[i].start, gone[i].bytes);
    return count != 0;
  }

  size_t bytes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return total_;
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
  size_t total_ = 0;   ///< bytes of all spares
  size_t in_use_ = 0;  ///< bytes of all blocks that somebody holds
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
  if (spare.start != nullptr) {
    if (zeroed) std::memset(spare.start, 0, bytes);
    bytes = spare.bytes;
    return spare.start;
  }
  void* block = map_pages(bytes, !zeroed);
  if (block == nullptr && release_spare_blocks()) block = map_pages(bytes, !zeroed);
  if (block != nullptr) spare_blocks().count(bytes);
  return block;
}

#if defined(__linux__)
namespace {

/// The whole pages inside a block.
struct Pages {
  Pages(void* memory, size_t bytes) noexcept : size(whole_pages(1)) {
    const auto start = reinterpret_cast<uintptr_t>(memory);
    first = (start + size - 1) / size * size;
    last = (start + bytes) / size * size;
  }

  void* start() const noexcept { return reinterpret_cast<void*>(first); }
  size_t bytes() const noexcept { return last - first; }

  /// How many of three of them are there: the system gives a range whole, and what the heap hands
  /// out again was touched whole.
  int present() const noexcept {
    int count = 0;
    for (const uintptr_t at : {first, (first + last) / 2 / size * size, last - size}) {
      unsigned char is_there = 0;
      if (mincore(reinterpret_cast<void*>(at), size, &is_there) == 0) count += is_there & 1;
    }
    return count;
  }

  size_t size;  ///< of one, in bytes
  uintptr_t first, last;
};

}  // namespace
#endif

bool expect_huge_pages(void* memory, size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kHugePages || !gives_huge_pages()) return false;
  const Pages pages(memory, bytes);
  return pages.present() == 0 && madvise(pages.start(), pages.bytes(), MADV_HUGEPAGE) == 0;
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
  return false;
#endif
}

void fault_in(void* memory, size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_POPULATE_WRITE)
  if (bytes < kLargeBlock) return;
  const Pages pages(memory, bytes);
  if (pages.present() == 3) return;
  expect_huge_pages(memory, bytes);
  madvise(pages.start(), pages.bytes(), MADV_POPULATE_WRITE);
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

void free_large_block(void* block, size_t bytes) noexcept { spare_blocks().give({block, bytes}); }

bool release_spare_blocks() noexcept { return spare_blocks().clear(); }

size_t spare_block_bytes() noexcept { return spare_blocks().bytes(); }

}  // namespace lookback
