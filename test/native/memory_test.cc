#include "base/memory.h"

#include <cstring>
#include <fstream>
#include <limits>
#include <vector>

#if defined(__linux__)
#include <unistd.h>
#endif

#include "base/arena.h"
#include "base/large_blocks.h"
#include "base/system_memory.h"
#include "native/check.h"

namespace lookback {
namespace {

TEST(buffers_are_aligned_and_zero) {
  for (const int64_t size : {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{100000}}) {
    Buffer<double> buffer(size, "test");
    CHECK_EQUAL(reinterpret_cast<uintptr_t>(buffer.data()) % kAlignment, uintptr_t{0});
    for (int64_t i = 0; i < size; ++i) CHECK_EQUAL(buffer[i], 0.0);
  }
}

/// Blocks above and below the size from which pages are taken, written to and freed before: what a
/// block held must never show in the next.
TEST(zeroed_blocks_are_zero_after_others_used_their_memory) {
  for (const int64_t size : {int64_t{1000}, int64_t{60000}, int64_t{2000000}}) {
    for (int round = 0; round < 3; ++round) {
      Buffer<float> buffer(size, "test");
      for (int64_t i = 0; i < size; ++i) {
        CHECK_EQUAL(buffer[i], 0.0f);
        buffer[i] = 7.0f;
      }
    }
  }
}

TEST(freed_pages_wait_for_the_next_block_and_can_be_asked_back) {
  if (!kGivesPages) return;
  release_spare_blocks();
  size_t bytes = kLargeBlock;
  void* const first = allocate_large_block(bytes, false);
  CHECK(first != nullptr && bytes >= kLargeBlock);
  free_large_block(first, bytes);
  size_t more = bytes * 2;
  void* const larger = allocate_large_block(more, false);
  CHECK(larger != first);
  size_t again = bytes - 1;
  void* const second = allocate_large_block(again, true);
  CHECK(second == first);
  CHECK_EQUAL(again, bytes);
  CHECK(!release_spare_blocks());
  free_large_block(second, again);
  free_large_block(larger, more);
  CHECK(release_spare_blocks());
  CHECK(!release_spare_blocks());
}

/// Resident bytes of this process; 0 where the system does not tell.
int64_t resident() {
#if defined(__linux__)
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, pages = 0;
  return file >> total >> pages ? pages * sysconf(_SC_PAGESIZE) : 0;
#else
  return 0;
#endif
}

TEST(what_waits_is_bounded) {
  if (!kGivesPages || resident() == 0) return;
  release_spare_blocks();
  constexpr int64_t kMegabyte = int64_t{1} << 20;
  constexpr int64_t kBound = kSpareBytes;
  std::vector<void*> blocks(kBound / kMegabyte + 40);
  size_t bytes = kMegabyte;
  for (void*& block : blocks) {
    block = allocate_large_block(bytes, false);
    std::memset(block, 1, bytes);
  }
  const int64_t most = resident();
  for (void* block : blocks) free_large_block(block, bytes);
  // A few pages are the test's own.
  CHECK(most - resident() > 38 * kMegabyte);
  CHECK(release_spare_blocks());
  CHECK(most - resident() > 38 * kMegabyte + kBound);
  size_t refused = SIZE_MAX;
  CHECK(allocate_large_block(refused, false) == nullptr);
}

TEST(as_much_waits_as_is_in_use) {
  if (!kGivesPages) return;
  release_spare_blocks();
  size_t bytes = kSpareBytes + kLargeBlock;
  size_t same = bytes;
  void* const held = allocate_large_block(bytes, false);
  void* const freed = allocate_large_block(same, false);
  free_large_block(freed, same);
  // The held one is as large, so the other has waited.
  CHECK(allocate_large_block(same, false) == freed);
  free_large_block(freed, same);
  free_large_block(held, bytes);
  // Nothing is in use any more, and each is more than may wait then.
  CHECK(!release_spare_blocks());
}

TEST(huge_pages_are_expected_only_below_what_nobody_has_touched) {
  if (!kGivesPages) return;
  release_spare_blocks();
  size_t bytes = size_t{8} << 20;
  auto* const block = static_cast<unsigned char*>(allocate_large_block(bytes, true));
  CHECK_EQUAL(expect_huge_pages(block, bytes), gives_huge_pages());
  CHECK(!expect_huge_pages(block, kHugePages - 1));
  block[bytes / 2] = 7;
  CHECK(!expect_huge_pages(block, bytes));
  // What is there stays, and what is not there is zero.
  fault_in(block, bytes);
  for (size_t i = 0; i < bytes; ++i) CHECK_EQUAL(int{block[i]}, i == bytes / 2 ? 7 : 0);
  CHECK(!expect_huge_pages(block, bytes));
  free_large_block(block, bytes);
}

TEST(ensure_keeps_what_fits_and_zeroes_what_does_not) {
  Buffer<float> buffer(8, "test");
  buffer[3] = 5;
  buffer.ensure(4, "test");
  CHECK_EQUAL(buffer.size(), int64_t{4});
  CHECK_EQUAL(buffer[3], 5.0f);
  buffer.ensure(8, "test");
  CHECK_EQUAL(buffer[3], 5.0f);
  buffer.ensure(9, "test");
  CHECK_EQUAL(buffer[3], 0.0f);
}

TEST(moving_a_buffer_leaves_no_second_owner) {
  Buffer<int32_t> first(4, "test");
  first[0] = 7;
  Buffer<int32_t> second = std::move(first);
  CHECK_EQUAL(second[0], 7);
  CHECK_EQUAL(first.size(), int64_t{0});
  first = Buffer<int32_t>(2, "test");
  CHECK_EQUAL(second[0], 7);
}

TEST(impossible_sizes_are_refused) {
  CHECK_THROWS(kMemory, "does not fit", Buffer<double>(int64_t{1} << 61, "test"));
  CHECK_THROWS(kMemory, "things: ", Buffer<double>(int64_t{1} << 50, "things"));
  CHECK_THROWS(kMemory, "does not fit", Buffer<double>(-1, "test"));
  Buffer<float> buffer(4, "test");
  CHECK_THROWS(kMemory, "things", buffer.ensure(int64_t{1} << 50, "things"));
  CHECK_EQUAL(buffer.size(), int64_t{0});
}

/// Two blocks that each fit in what is free now, but not together: the first is not touched, so the
/// system still counts its pages as free.
TEST(untouched_memory_counts) {
  const int64_t available = available_memory();
  if (available == std::numeric_limits<int64_t>::max()) return;
  const int64_t most = available / 4 * 3;
  {
    const MemoryClaim first(most, "first");
    CHECK_THROWS(kMemory, "second", MemoryClaim(most, "second"));
  }
  const MemoryClaim again(most, "again");
}

TEST(segments_start_on_cache_lines) {
  ArenaLayout layout;
  layout.add("a", {3});
  layout.add("b", {2, 5}, false);
  layout.add("empty", {0, 7});
  layout.add("c", {17});
  CHECK_EQUAL(layout.used(), int64_t{3 + 10 + 17});
  ParamArena<float> arena(layout, "test");
  for (const Segment& segment : layout.segments()) {
    CHECK_EQUAL(reinterpret_cast<uintptr_t>(arena.at(segment)) % kAlignment, uintptr_t{0});
    CHECK(segment.offset + segment.size <= layout.total());
  }
}

}  // namespace
}  // namespace lookback
