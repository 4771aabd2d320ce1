/// The times that the model of sizes counts with (docs/adr/0009, 0023 and 0024), which stand until
/// a device has measured them.
#pragma once

#include "backend/cuda/block_plan.h"

namespace lookback {

constexpr double kClock = 1.9e3;        // cycles in a microsecond
constexpr double kProductsACycle = 32;  // multiply-adds of one multiprocessor from shared memory
constexpr double kHeldProductsACycle = 128;  // with its weights in registers
constexpr double kFarBytesACycle = 24;       // from the second-level cache to one multiprocessor
constexpr double kLaunch = 3.0;              // of a kernel from a stream, in microseconds
constexpr double kExchangeTime = 0.5;        // of results or sums in a cluster, in microseconds
constexpr double kUnitsACycle = 2;           // of results, for all that a program does with them
constexpr double kWorthACluster = 0.9;       // of the time with fewer blocks, at most

/// Microseconds of a step's statistics where rows meet in the blocks of a resident plan, whose
/// columns are all `near` or not. The blocks that share a batch wait for each other and read what
/// each of them has summed.
double statistics_time(const Declaration& d, const BlockPlan& plan, bool near);

/// The same step by step, where the threads of a block share features.
double stepwise_statistics_time(const Declaration& d, const BlockShape& shape, int multiprocessors);

}  // namespace lookback
