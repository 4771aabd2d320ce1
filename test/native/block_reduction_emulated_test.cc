/// Statistics and sums over rows that the threads of a block share, with as many threads as on a
/// GPU, where those of the emulated drivers are few.
#include <cmath>
#include <vector>

#include "backend/cuda/block_reduction.h"
#include "backend/cuda/emulated.h"
#include "native/check.h"

namespace lookback {
namespace {

constexpr int kParts = kMostBlockThreads / kReductionWidth;

TEST(every_entry_of_every_row_is_in_one_part) {
  for (const int parts : {1, 3, 5, kParts}) {
    for (const int rows : {1, 2, 7, 13, 31, 32, 33, 64, 100}) {
      for (const int entries : {1, 2, 5, 16, 38}) {
        std::vector<int> taken(static_cast<size_t>(rows * entries));
        for (int part = 0; part < parts; ++part) {
          const ReductionSlice slice(part, parts, rows, entries);
          if (slice.row < rows) CHECK(slice.entry < entries);
          for (int i = slice.row; i < rows; i += slice.row_stride) {
            for (int e = slice.entry; e < entries; e += slice.entry_stride)
              ++taken[static_cast<size_t>(i * entries + e)];
          }
        }
        for (const int times : taken) CHECK_EQUAL(times, 1);
      }
    }
  }
}

/// Number i of feature j: far from 0 and with a small spread, where sums of squares would lose it.
double number(int i, int j) { return 1e6 * (j + 1) + std::sin(i + 0.1 * j); }

/// The statistics of `count` numbers of each feature by `blocks` of `threads`.
std::vector<Spread<double>> spreads(int threads, int blocks, int features, int count,
                                    EmulatedSchedule schedule = {}) {
  std::vector<Spread<double>> result(static_cast<size_t>(features));
  for (int block = 0; block < blocks; ++block) {
    EmulatedCluster cluster(1, threads, schedule);
    std::vector<Spread<double>> room(static_cast<size_t>(threads), {NAN, NAN, NAN});
    const auto member = [&](int own) {
      const EmulatedThreads here(&cluster, own, block, blocks);
      const ReductionShare share(here, true);
      const ReductionSlice slice = share.slice(count, 1);
      for (int j = share.first(); share.goes_on(j, features); j += share.stride()) {
        Spread<double> part = {0, 0, 0};
        for (int i = slice.row; i < count && j < features; i += slice.row_stride)
          part.add({1, number(i, j), 0});
        part = share.total(here, part, room.data());
        if (share.tells(j, features)) result[static_cast<size_t>(j)] = part;
      }
    };
    cluster.team.run(member, schedule.descending);
    CHECK(!cluster.team.stuck());
  }
  return result;
}

TEST(the_parts_of_a_block_make_the_statistics_of_all_numbers) {
  for (const int parts : {1, 2, 3, 5, 8, kParts}) {
    for (const int count : {1, 2, 31, 64, 100}) {
      constexpr int features = 2 * kReductionWidth + 3;
      const std::vector<Spread<double>> found =
          spreads(parts * kReductionWidth, reduction_blocks(features), features, count);
      for (int j = 0; j < features; ++j) {
        double apart = 0, squares = 0;
        for (int i = 0; i < count; ++i) apart += std::sin(i + 0.1 * j) / count;
        for (int i = 0; i < count; ++i) squares += std::pow(std::sin(i + 0.1 * j) - apart, 2);
        const Spread<double>& own = found[static_cast<size_t>(j)];
        CHECK_EQUAL(own.count, count);
        // Numbers of 2e7 are known to 4e-9.
        CHECK(std::abs(own.mean - (1e6 * (j + 1) + apart)) < 1e-7);
        CHECK(std::abs(own.squares - squares) < 1e-6);
      }
    }
  }
}

TEST(the_order_of_threads_changes_no_bit) {
  EmulatedSchedule descending;
  descending.descending = true;
  const auto first = spreads(kMostBlockThreads, 2, 13, 100);
  const auto second = spreads(kMostBlockThreads, 2, 13, 100, descending);
  for (size_t j = 0; j < first.size(); ++j) {
    CHECK_EQUAL(first[j].mean, second[j].mean);
    CHECK_EQUAL(first[j].squares, second[j].squares);
  }
}

/// What is the same everywhere has no variance, by any number of threads.
TEST(numbers_that_are_the_same_have_no_variance) {
  Spread<float> whole = {0, 0, 0};
  for (int part = 0; part < 37; ++part) whole.add({static_cast<float>(part % 5), 0.1f, 0});
  CHECK_EQUAL(whole.mean, 0.1f);
  CHECK_EQUAL(whole.squares, 0.0f);
}

}  // namespace
}  // namespace lookback
