/// One device's kernels as a table of plain functions: what the host side of a recurrence calls.
/// There is one table per instruction set.
#pragma once

#include <cstdint>

#include "backend/sequence.h"
#include "ops/gemm.h"

namespace lookback {

/// The time loop of one cell. `cell` points to the cell's struct.
template <class S>
struct CellLoops {
  const char* key = nullptr;
  int tile_rows = 0;  ///< batch rows that one of its tiles holds
  void (*forward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
  void (*backward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
  /// The same over tiles of one row each, a lane to a unit; null where the cell has no such loops.
  void (*row_forward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
  void (*row_backward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
};

/// The weight gradient of one Linear over all tiles and steps: outputs [row_begin, row_end) of dW
/// [units of all sources][rows] are assigned; with `bias` the bias's gradient is one unit more.
template <class S>
struct WeightGradient {
  int linear = 0;
  int first_step = 0;  ///< 0, or minus the number of initial entries
  int row_begin = 0, row_end = 0;
  bool bias = false;
  S* dW = nullptr;
  S* scratch = nullptr;  ///< DriverTable::gradient_scratch numbers, 64-byte aligned, one a worker
};

/// The most rows that any instruction set takes one by one.
constexpr int kFewRows = 4;

template <class S>
struct DriverTable {
  int max_block = 0;  ///< outputs per register block; packings use any of `blocks`
  int blocks[5] = {};
  bool couples_workers =
      false;  ///< rows that meet in batch statistics may belong to several workers
  const CellLoops<S>* cells = nullptr;
  int cell_count = 0;
  void (*weight_gradient)(const SequenceArgs<S>& args, const WeightGradient<S>& g) = nullptr;
  /// Numbers of scratch for a Linear with `units` units in all its sources, one more with a bias.
  int64_t (*gradient_scratch)(int units) = nullptr;
  /// Columns [n_begin, n_end) of rows [m_begin, m_end); `scratch` holds `gemm_scratch`
  /// numbers, 64-byte aligned.
  void (*gemm)(const Gemm<S>& g, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
               S* scratch) = nullptr;
  int gemm_panel = 0;  ///< columns of a packed panel; n ranges begin at multiples of it
  int64_t gemm_scratch = 0;
  int few_rows = 0;   ///< the largest batch that `row_forward` and `row_backward` are faster for
  int row_block = 0;  ///< outputs per block of its packings
};

}  // namespace lookback
