/// What a recurrence does on the GPU beside its loop over time: packing weights, moving inputs and
/// gradients between layouts, sums over rows, masks, statistics. A struct is an operation's
/// arguments; run(threads) is its kernel, whose blocks share nothing.
#pragma once

#include "backend/cell_host.h"
#include "backend/cuda/block_sync.h"
#include "backend/sequence.h"
#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// Rectangles of numbers from one place to another; no two of a launch write the same number.
template <class S>
struct BlockMoves {
  static constexpr int kMost = 32;
  struct Move {
    const S* from;
    int64_t from_row, from_col;
    S* to;
    int64_t to_row, to_col;
    int32_t outputs;  ///< not 0: number (row, col) goes to ((col / 4) outputs + row) 4 + col % 4
    int32_t rows, cols;
    S scale;
    bool add;
  } move[kMost];
  int32_t count = 0;

  template <class Threads>
  HD void run(Threads threads) const {
    const int64_t first = int64_t{threads.block()} * threads.threads() + threads.thread();
    const int64_t stride = int64_t{threads.blocks()} * threads.threads();
    for (int m = 0; m < count; ++m) {
      const Move& one = move[m];
      for (int64_t i = first; i < int64_t{one.rows} * one.cols; i += stride) {
        const int64_t row = i / one.cols, col = i % one.cols;
        const S number = one.scale * one.from[row * one.from_row + col * one.from_col];
        const int64_t at = one.outputs > 0 ? (col / 4 * one.outputs + row) * 4 + col % 4
                                           : row * one.to_row + col * one.to_col;
        one.to[at] = one.add ? one.to[at] + number : number;
      }
    }
  }
};

/// to[c] (+)= sum over r of from[r * stride + c], in an order that depends on `rows` alone: 32
/// threads of a block take every 32nd row, and the first adds up what they have.
template <class S>
struct BlockColumnSums {
  static constexpr int kSlices = 32;
  const S* from = nullptr;
  int64_t rows = 0, stride = 0;
  int32_t cols = 0;
  S* to = nullptr;
  bool add = false;
  S* parts = nullptr;  ///< [kSlices][cols]

  /// First launch: the parts. Second: their sum.
  int32_t stage = 0;

  template <class Threads>
  HD void run(Threads threads) const {
    const int64_t first = int64_t{threads.block()} * threads.threads() + threads.thread();
    const int64_t step = int64_t{threads.blocks()} * threads.threads();
    if (stage == 0) {
      for (int64_t i = first; i < int64_t{kSlices} * cols; i += step) {
        const int64_t slice = i / cols, c = i % cols;
        S sum(0);
        for (int64_t r = slice; r < rows; r += kSlices) sum += from[r * stride + c];
        parts[i] = sum;
      }
      return;
    }
    for (int64_t c = first; c < cols; c += step) {
      S sum = parts[c];
      for (int slice = 1; slice < kSlices; ++slice) sum += parts[int64_t{slice} * cols + c];
      to[c] = add ? to[c] + sum : sum;
    }
  }
};

/// Between the public [B, T, size] and [T][padded rows][stride], times the mask where there is one;
/// 0 beyond a row's length.
template <class S>
struct BlockInput {
  const S* from = nullptr;
  S* to = nullptr;
  bool out = false;  ///< from the slot to the public array
  int64_t batch = 0, steps = 0, padded = 0;
  int32_t size = 0, stride = 0;
  const int32_t* lengths = nullptr;
  SequencePlace<S> mask;

  template <class Threads>
  HD void run(Threads threads) const {
    const int64_t first = int64_t{threads.block()} * threads.threads() + threads.thread();
    const int64_t step = int64_t{threads.blocks()} * threads.threads();
    for (int64_t i = first; i < batch * steps * size; i += step) {
      const int64_t j = i % size, b = i / size / steps, t = i / size % steps;
      const int64_t inside = (t * padded + b) * stride + j;
      const bool ended = lengths != nullptr && t >= lengths[b];
      S number = ended ? S(0) : from[out ? inside : i];
      if (mask.data != nullptr && !ended)
        number *= mask.data[b * mask.row_stride + t * mask.step_stride + j];
      to[out ? i : inside] = number;
    }
  }
};

/// Dropout's and zoneout's masks.
template <class S>
struct BlockMasks {
  PhiloxKey stream = {};
  uint32_t site = 0;
  double rate = 0;
  bool zoneout = false, constant = false;
  int32_t size = 0;
  int64_t batch = 0, width = 0;
  const int64_t* origins = nullptr;  ///< [B][2] row and step; null: the row itself, from step 0
  S* to = nullptr;

  template <class Threads>
  HD void run(Threads threads) const {
    for (int64_t b = threads.block(); b < batch; b += threads.blocks()) {
      const int64_t row = origins != nullptr ? origins[2 * b] : b;
      const int64_t step = origins != nullptr && !constant ? origins[2 * b + 1] : 0;
      draw_mask_row(stream, site, rate, zoneout, static_cast<uint32_t>(row), step * size, width,
                    threads.thread(), threads.threads(), to + b * width);
    }
  }
};

/// Batch statistics of every step from the running ones, or what every step has used for the caller
/// to see.
template <class S>
struct BlockStatistics {
  S* moments = nullptr;  ///< [steps][2][features]
  const S *running_mean = nullptr, *running_var = nullptr;
  S *mean = nullptr, *var = nullptr;  ///< shown, [rows][features]; null: not that
  int64_t rows = 0;                   ///< of running statistics, or of what is shown
  int64_t steps = 0;
  int32_t features = 0;
  S eps = S(0);

  template <class Threads>
  HD void run(Threads threads) const {
    const int64_t first = int64_t{threads.block()} * threads.threads() + threads.thread();
    const int64_t step = int64_t{threads.blocks()} * threads.threads();
    const bool shows = running_mean == nullptr;
    for (int64_t i = first; i < (shows ? rows : steps) * features; i += step) {
      const int64_t t = i / features, j = i % features;
      S* const at = moments + t * 2 * features + j;
      if (shows) {
        if (mean != nullptr) mean[i] = at[0];
        const S rstd = at[features];
        if (var != nullptr) var[i] = max(S(1) / (rstd * rstd) - eps, S(0));
      } else {
        const int64_t row = (t < rows ? t : rows - 1) * features + j;
        at[0] = running_mean[row];
        at[features] = S(1) / sqrt(running_var[row] + eps);
      }
    }
  }
};

}  // namespace lookback
