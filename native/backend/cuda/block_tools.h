/// What a recurrence does on the device beside its loop over time: packing weights, moving inputs
/// and gradients between layouts, sums over rows, masks, statistics. Operations as in operations.h.
#pragma once

#include "backend/cuda/block_args.h"
#include "backend/cuda/recurrent_operations.h"
#include "backend/masks.h"
#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// Rectangles of numbers from one place to another; no two of a launch write the same number.
template <class S>
struct MovesOp {
  static constexpr CudaOperation kId = kCudaMoves;
  static constexpr int kMost = 24;
  struct Move {
    const S* from;
    int64_t from_row, from_col;
    S* to;
    int64_t to_row, to_col;
    int32_t outputs;  ///< not 0: output o, k goes to ((k / 4) outputs + o) 4 + k % 4, where o is
                      ///< first_row + row and k is first_col + col
    int32_t first_row, first_col;
    int32_t rows, cols;
    bool add;
    S scale;
    HD int64_t numbers() const { return int64_t{rows} * cols; }
  } move[kMost];
  int32_t count;

  HD int64_t items() const {
    int64_t all = 0;
    for (int m = 0; m < count; ++m) all += move[m].numbers();
    return all;
  }
  HD void operator()(int64_t i) const {
    int m = 0;
    while (i >= move[m].numbers()) i -= move[m++].numbers();
    const Move& one = move[m];
    const int64_t row = i / one.cols, col = i % one.cols;
    const S number = one.scale * one.from[row * one.from_row + col * one.from_col];
    const int64_t o = one.first_row + row, k = one.first_col + col;
    const int64_t at = one.outputs > 0 ? (k / 4 * one.outputs + o) * 4 + k % 4
                                       : row * one.to_row + col * one.to_col;
    one.to[at] = one.add ? one.to[at] + number : number;
  }
};

/// to[c] (+)= sum over r of from[r * stride + c], in an order that depends on `rows` alone: in
/// `kSlices` interleaved parts (parts [kSlices][cols], a launch before), then those in order.
template <class S>
struct ColumnSumsOp {
  static constexpr CudaOperation kId = kCudaColumnSums;
  static constexpr int kSlices = 64;
  const S* from;
  int64_t rows, stride, cols;
  S* parts;
  S* to;  ///< null: the launch that makes the parts
  bool add;

  HD int64_t items() const { return to == nullptr ? kSlices * cols : cols; }
  HD void operator()(int64_t i) const {
    if (to == nullptr) {
      S sum(0);
      for (int64_t r = i / cols; r < rows; r += kSlices) sum += from[r * stride + i % cols];
      parts[i] = sum;
      return;
    }
    S sum = parts[i];
    for (int slice = 1; slice < kSlices; ++slice) sum += parts[slice * cols + i];
    to[i] = add ? to[i] + sum : sum;
  }
};

/// Between the public [B, T, size] and [T][padded rows][stride], times the mask where there is one;
/// 0 beyond a row's length.
template <class S>
struct InputOp {
  static constexpr CudaOperation kId = kCudaInput;
  const S* from;
  S* to;
  bool out;  ///< from the slot to the public array
  int64_t batch, steps, padded;
  int32_t size, stride;
  const int32_t* lengths;
  SequencePlace<S> mask;

  HD int64_t items() const { return batch * steps * size; }
  HD void operator()(int64_t i) const {
    const int64_t j = i % size, b = i / size / steps, t = i / size % steps;
    const int64_t inside = (t * padded + b) * stride + j;
    const bool ended = lengths != nullptr && t >= lengths[b];
    S number = ended ? S(0) : from[out ? inside : i];
    if (mask.data != nullptr && !ended)
      number *= mask.data[b * mask.row_stride + t * mask.step_stride + j];
    to[out ? i : inside] = number;
  }
};

/// Dropout's and zoneout's masks [B][width].
template <class S>
struct MasksOp {
  static constexpr CudaOperation kId = kCudaMasks;
  PhiloxKey stream;
  uint32_t site;
  bool zoneout, constant;
  double rate;
  int64_t batch, width, size;
  const int64_t* origins;  ///< [B][2] row and step; null: the row itself, from step 0
  S* to;

  HD int64_t quads() const { return width / 4 + 2; }
  HD int64_t items() const { return batch * quads(); }
  HD void operator()(int64_t i) const {
    const int64_t b = i / quads();
    const int64_t row = origins != nullptr ? origins[2 * b] : b;
    const int64_t step = origins != nullptr && !constant ? origins[2 * b + 1] : 0;
    const MaskRow mask = {stream,      site, static_cast<uint32_t>(row), rate, zoneout,
                          step * size, width};
    if (i % quads() < mask.quads()) mask.draw(i % quads(), to + b * width);
  }
};

/// Batch statistics of every step from the running ones; or, without those, what every step has
/// used for the caller to see.
template <class S>
struct StatisticsOp {
  static constexpr CudaOperation kId = kCudaStatistics;
  S* moments;  ///< [steps][2][features]
  const S *running_mean, *running_var;
  S *mean, *var;  ///< shown, [rows][features]; either may be null
  int64_t rows;   ///< of running statistics, or of what is shown
  int64_t steps, features;
  S eps;

  HD int64_t items() const { return (running_mean == nullptr ? rows : steps) * features; }
  HD void operator()(int64_t i) const {
    const int64_t t = i / features, j = i % features;
    S* const at = moments + t * 2 * features + j;
    if (running_mean != nullptr) {
      const int64_t row = (t < rows ? t : rows - 1) * features + j;
      at[0] = running_mean[row];
      at[features] = S(1) / sqrt(running_var[row] + eps);
      return;
    }
    const S rstd = at[features];
    if (mean != nullptr) mean[i] = at[0];
    if (var != nullptr) var[i] = max(S(1) / (rstd * rstd) - eps, S(0));
  }
};

/// Behind a table, e^entry of each, and then whether all of that is of use: see TableInfo.
template <class S>
struct ExponentialsOp {
  static constexpr CudaOperation kId = kCudaExponentials;
  S* table;
  int64_t count;

  HD int64_t items() const { return count + 1; }
  HD void operator()(int64_t i) const {
    if (i < count) {
      table[count + i] = exp(table[i]);
      return;
    }
    bool small = true;
    for (int64_t k = 0; k < count; ++k)
      small = small && !(table[k] > S(70)) && !(-table[k] > S(70));
    table[2 * count] = S(small ? 1 : 0);
  }
};

/// One launch of a cell's loop over time.
template <class S>
struct LoopOp {
  static constexpr CudaOperation kId = kCudaLoop;
  BlockArgs<S> args;
  BlockWork work;
  int32_t index;  ///< of the cell in the registry
  bool backward;
  int32_t blocks, threads;
  int32_t shared_bytes;  ///< 0: nothing is kept in shared memory
};

}  // namespace lookback
