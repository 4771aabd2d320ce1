#include "base/system_memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace lookback {

void* heap_block(size_t bytes, bool zeroed) noexcept {
  return zeroed ? std::calloc(bytes, 1) : std::malloc(bytes);
}

#if defined(__unix__) || defined(__APPLE__)

size_t whole_pages(size_t bytes) noexcept {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

bool gives_huge_pages() noexcept {
#if defined(__linux__)
  static const bool gives = [] {
    char words[64] = {};
    std::FILE* const file = std::fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == nullptr) return false;
    const bool read = std::fgets(words, sizeof(words), file) != nullptr;
    std::fclose(file);
    return read && std::strstr(words, "[never]") == nullptr;
  }();
  return gives;
#else
  return false;
#endif
}

void* map_pages(size_t bytes, bool filled) noexcept {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_POPULATE)
  // All pages in one call, where each will be written anyway: a fault for each takes longer.
  if (filled && bytes < kHugePages) flags |= MAP_POPULATE;
#else
  static_cast<void>(filled);
#endif
  void* const block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (block == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  // A wish: a tape is walked in strides that would miss the TLB at every step, and a fresh array
  // costs one fault for 512. Where it is refused the pages stay small.
  if (bytes >= kHugePages) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

void unmap_pages(void* block, size_t bytes) noexcept { munmap(block, bytes); }

#else

size_t whole_pages(size_t bytes) noexcept { return bytes; }
bool gives_huge_pages() noexcept { return false; }
void* map_pages(size_t, bool) noexcept { return nullptr; }
void unmap_pages(void*, size_t) noexcept {}

#endif

}  // namespace lookback
