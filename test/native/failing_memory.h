/// Puts another memory below a test program: one that can refuse any request. Everything comes from
/// here, the arrays (native/base/system_memory.h, which is not linked then) and whatever the
/// standard library makes. For one .cc file of a program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "base/system_memory.h"

namespace failing {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

/// Requests since the count began, from all threads.
inline std::atomic<int64_t> requests{0};
/// Those from `first` on, `length` of them, are refused.
inline std::atomic<int64_t> first{kNever};
inline std::atomic<int64_t> length{0};

inline bool refused() {
  const int64_t from = first.load();
  const int64_t number = requests.fetch_add(1) + 1;
  return number >= from && number - from < length.load();
}

/// Refuses requests while it lives.
class Refusal {
 public:
  explicit Refusal(int64_t from, int64_t count = 1) {
    length = count;
    requests = 0;
    first = from;
  }
  ~Refusal() { first = kNever; }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
};

inline void* block(std::size_t bytes) {
  return refused() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}

inline void* aligned_block(std::size_t bytes, std::size_t alignment) {
  const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
  return refused() ? nullptr : std::aligned_alloc(alignment, whole);
}

inline void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace failing

namespace lookback {

void* heap_block(size_t bytes, bool zeroed) noexcept {
  void* const memory = failing::block(bytes);
  if (memory != nullptr && zeroed) std::memset(memory, 0, bytes);
  return memory;
}

constexpr size_t kTestPage = 4096;
size_t whole_pages(size_t bytes) noexcept {
  return (bytes + kTestPage - 1) / kTestPage * kTestPage;
}
bool gives_huge_pages() noexcept { return false; }
void* map_pages(size_t bytes, bool) noexcept {
  void* const memory = failing::aligned_block(bytes, kTestPage);
  if (memory != nullptr) std::memset(memory, 0, bytes);
  return memory;
}
void unmap_pages(void* memory, size_t) noexcept { std::free(memory); }

}  // namespace lookback

void* operator new(std::size_t bytes) { return failing::or_throw(failing::block(bytes)); }
void* operator new[](std::size_t bytes) { return failing::or_throw(failing::block(bytes)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return failing::block(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return failing::block(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return failing::or_throw(failing::aligned_block(bytes, static_cast<std::size_t>(alignment)));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return failing::or_throw(failing::aligned_block(bytes, static_cast<std::size_t>(alignment)));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
