/// Blocks that are pages of their own. Out of the heap, where small blocks that live longer would
/// lie between them, freed ones would stay with the process: a server that trains a model now and
/// then would hold several times what it uses.
#pragma once

#include <cstddef>

namespace lookback {

/// From this size on, in bytes, a block is worth pages of its own.
constexpr size_t kLargeBlock = size_t{128} << 10;

/// What waits for its next use, in bytes: as much as is in use, so that a process holds no more
/// than twice what it needs, but this much in any case ...
constexpr size_t kSpareBytes = size_t{16} << 20;

/// ... and no more than this: the results of a pass at the papers' sizes.
constexpr size_t kMostSpareBytes = size_t{256} << 20;

/// Whether this system gives pages; everything else comes from the heap. The address sanitizer
/// watches the heap only.
#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_ADDRESS__)
constexpr bool kGivesPages = true;
#else
constexpr bool kGivesPages = false;
#endif

/// A block of at least `bytes`, aligned to a page, or null where there is no room; `bytes` becomes
/// its size, which `free_large_block` wants to know.
void* allocate_large_block(size_t& bytes, bool zeroed) noexcept;

/// Gives the pages back, at once or where others wait already: the system clears every fresh
/// page, which takes longer than writing it, and what is freed is often wanted again.
void free_large_block(void* block, size_t bytes) noexcept;

/// Asks for huge pages under memory that nobody has touched, wherever it came from; whether the
/// caller can expect them. Memory that has pages keeps them, and the answer is no.
bool expect_huge_pages(void* memory, size_t bytes) noexcept;

/// Faults in the pages of memory that the caller is about to fill, wherever it came from, huge ones
/// where that can be, by one call instead of a fault for each. A wish; what is there stays.
void fault_in(void* memory, size_t bytes) noexcept;

/// Gives back the pages that wait for their next use; whether there were any. For whoever knows
/// that none will be wanted soon.
bool release_spare_blocks() noexcept;
/// Bytes of those pages.
size_t spare_block_bytes() noexcept;

}  // namespace lookback
