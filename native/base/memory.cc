#include "base/memory.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#if defined(__linux__)
#include <unistd.h>
#endif

#include "base/error.h"
#include "base/large_blocks.h"
#include "base/system_memory.h"

namespace lookback {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();
/// Below this a check costs more than it saves.
constexpr int64_t kChecked = int64_t{16} << 20;

/// Bytes claimed by the whole process; all its environments share one memory.
std::atomic<int64_t> claimed{0};

/// The number after `key` in a file of "key value" lines; `kUnknown` where there is none.
int64_t read_field(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  int64_t value = 0;
  std::string rest;
  while (file >> name) {
    if (name == key) return file >> value ? value : kUnknown;
    std::getline(file, rest);
  }
  return kUnknown;
}

/// The single number in a file; `kUnknown` for "max", for no limit and for no file.
int64_t read_number(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : kUnknown;
}

/// What a control group's limit leaves. File pages that nobody maps can be dropped, so they do not
/// count as used.
int64_t left_of(const char* limit_path, const char* used_path, const char* stat_path,
                const std::string& file_key) {
  const int64_t limit = read_number(limit_path);
  const int64_t used = read_number(used_path);
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  const int64_t cache = read_field(stat_path, file_key);
  return std::max<int64_t>(0, limit - used + (cache == kUnknown ? 0 : cache));
}

/// Claimed bytes that the system has not seen touched. The process' other memory counts as touched
/// claims, which errs on the side of letting a request through; but for the pages that wait, which
/// are given back where room is short.
int64_t untouched() {
#if defined(__linux__)
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  if (file >> total >> resident) {
    const auto spare = static_cast<int64_t>(spare_block_bytes());
    return std::max<int64_t>(0, claimed.load() - (resident * sysconf(_SC_PAGESIZE) - spare));
  }
#endif
  return 0;
}

/// In front of every block that `allocate` gives.
struct Header {
  void* start;
  size_t pages;  ///< bytes of its own pages; 0: from the heap
};

/// Bytes to move a block of pages by: arrays that are walked side by side would meet in the same
/// sets of the first-level cache if each began on a page.
size_t next_colour() {
  constexpr size_t kLines = 64, kStep = 27;
  static std::atomic<size_t> blocks{0};
  return blocks.fetch_add(kStep, std::memory_order_relaxed) % kLines * size_t{kAlignment};
}

}  // namespace

int64_t available_memory() {
  const int64_t kilobytes = read_field("/proc/meminfo", "MemAvailable:");
  const int64_t machine = kilobytes == kUnknown ? kUnknown : kilobytes * 1024;
  const int64_t group2 = left_of("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
                                 "/sys/fs/cgroup/memory.stat", "inactive_file");
  const int64_t group1 = left_of("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                 "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                                 "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file");
  const int64_t least = std::min({machine, group2, group1});
  return least == kUnknown ? kUnknown : std::max<int64_t>(0, least - untouched());
}

void require_memory(int64_t bytes, const char* what) {
  if (bytes < kChecked) return;
  int64_t available = available_memory();
  if (bytes > available && release_spare_blocks()) available = available_memory();
  REQUIRE(bytes <= available, kMemory, what, ": ", bytes, " bytes are needed and ", available,
          " are available; use a smaller batch, fewer steps or fewer units");
}

MemoryClaim::MemoryClaim(int64_t bytes, const char* what) : bytes_(bytes) {
  require_memory(bytes, what);
  claimed.fetch_add(bytes, std::memory_order_relaxed);
}

MemoryClaim::~MemoryClaim() {
  if (bytes_ != 0) claimed.fetch_sub(bytes_, std::memory_order_relaxed);
}

void* allocate(int64_t bytes, bool zeroed, const char* what) {
  // Room for moving the start to a cache line and for the header in front of it.
  const auto padded = static_cast<size_t>(checked_add(bytes, kAlignment, what));
  Header header{nullptr, 0};
  size_t colour = 0;
  if (kGivesPages && padded >= kLargeBlock) {
    colour = next_colour();
    header.pages = padded + colour;
    header.start = allocate_large_block(header.pages, zeroed);
  } else {
    header.start = heap_block(padded, zeroed);
  }
  REQUIRE(header.start != nullptr, kMemory, what, ": ", bytes,
          " bytes could not be allocated; use a smaller batch, fewer steps or fewer units");
  const auto start = reinterpret_cast<uintptr_t>(header.start) + colour;
  static_assert(alignof(std::max_align_t) >= sizeof(Header));
  auto* aligned = reinterpret_cast<Header*>((start / kAlignment + 1) * kAlignment);
  aligned[-1] = header;
  return aligned;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  const Header header = static_cast<Header*>(memory)[-1];
  if (header.pages == 0) return std::free(header.start);
  free_large_block(header.start, header.pages);
}

}  // namespace lookback
