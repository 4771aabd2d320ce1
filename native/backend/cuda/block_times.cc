#include "backend/cuda/block_times.h"

#include <algorithm>

#include "backend/cuda/block_reduction.h"

namespace lookback {
namespace {

constexpr double kNearCycles = 20;      // to add a number from shared memory to a feature's sum
constexpr double kFarCycles = 80;       // the same from global memory
constexpr double kReadsOfASum = 2;      // of each number: for the mean, then for distances from it
constexpr double kMessageCycles = 400;  // for what one block of a cluster says of a feature
constexpr double kJoinCycles = 150;     // for what another thread of the block says: a barrier, a
                                        // read and two divisions
constexpr double kSectorBytes = 32;     // that come at once

/// How often as many as there are `at_once` make `all`.
int64_t rounds_of(int64_t all, int64_t at_once) { return (all + at_once - 1) / at_once; }

}  // namespace

double statistics_time(const Declaration& d, const BlockPlan& plan, bool near) {
  double cycles = 0;
  for (const BatchSiteInfo& site : d.sites) {
    const auto rounds = static_cast<double>(rounds_of(site.features, plan.threads));
    cycles += rounds * static_cast<double>(int64_t{plan.rows} * site.entries) * kReadsOfASum *
              (near ? kNearCycles : kFarCycles);
    if (plan.shares > 1) cycles += rounds * plan.shares * kMessageCycles + kExchangeTime * kClock;
  }
  return cycles / kClock;
}

/// A thread waits for its numbers, or all of a block's for what comes to their multiprocessor: of
/// every row a sector more than the features fill, since rows begin anywhere.
double stepwise_statistics_time(const Declaration& d, const BlockShape& shape,
                                int multiprocessors) {
  constexpr int parts = kMostBlockThreads / kReductionWidth;
  const auto rows = static_cast<int>(shape.batch);
  const double bytes = kReductionWidth * static_cast<double>(shape.number_bytes) + kSectorBytes;
  double cycles = 0;
  for (const BatchSiteInfo& site : d.sites) {
    const ReductionSlice slice(0, parts, rows, site.entries);
    const auto numbers = static_cast<double>(rounds_of(rows, slice.row_stride) *
                                             rounds_of(site.entries, slice.entry_stride));
    const auto all = static_cast<double>(shape.batch * site.entries);
    double block = kReadsOfASum * std::max(numbers * kFarCycles, all * bytes / kFarBytesACycle);
    for (int left = parts; left > 1; left = (left + 1) / 2) block += kJoinCycles;
    cycles +=
        static_cast<double>(rounds_of(reduction_blocks(site.features), multiprocessors)) * block;
  }
  return cycles / kClock;
}

}  // namespace lookback
