/// Where the memory of every array comes from in the end: the C heap and the pages of the system.
/// In a file of its own, so that a program can put another in its place when it is linked: a test
/// that refuses the n-th request costs everybody else nothing.
#pragma once

#include <cstddef>

namespace lookback {

/// A block that `std::free` takes back, zeroed or not; null where there is no room.
void* heap_block(size_t bytes, bool zeroed) noexcept;

/// A multiple of a page that holds `bytes`.
size_t whole_pages(size_t bytes) noexcept;

/// From this size on, in bytes, a block has whole huge pages inside it, wherever it begins.
constexpr size_t kHugePages = size_t{4} << 20;

/// Whether the system gives huge pages to whoever asks for them.
bool gives_huge_pages() noexcept;

/// Zeroed pages, or null where there is no room; `filled`: the caller writes all of them.
void* map_pages(size_t bytes, bool filled) noexcept;
void unmap_pages(void* block, size_t bytes) noexcept;

}  // namespace lookback
