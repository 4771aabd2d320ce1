/// Pooling over the valid steps of one row, forward and backward.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "ops/calls.h"

namespace lookback {

template <class S>
HD void pool_row(const Pool<S>& pool, int64_t row, int64_t valid, S* y) {
  const int64_t n = pool.features;
  const S* x = pool.x + row * pool.steps * n;
  for (int64_t j = 0; j < n; ++j) y[j] = S(0);
  if (valid == 0) return;
  switch (pool.kind) {
    case PoolKind::kLast:
      for (int64_t j = 0; j < n; ++j) y[j] = x[(valid - 1) * n + j];
      return;
    case PoolKind::kMean:
      for (int64_t t = 0; t < valid; ++t) {
        for (int64_t j = 0; j < n; ++j) y[j] += x[t * n + j];
      }
      for (int64_t j = 0; j < n; ++j) y[j] /= static_cast<S>(valid);
      return;
    case PoolKind::kMax:
      for (int64_t j = 0; j < n; ++j) y[j] = x[j];
      for (int64_t t = 1; t < valid; ++t) {
        // A NaN stays: pooling must not hide a model that has diverged.
        for (int64_t j = 0; j < n; ++j) y[j] = x[t * n + j] <= y[j] ? y[j] : x[t * n + j];
      }
      return;
  }
}

template <class S>
HD void pool_row_backward(const Pool<S>& pool, int64_t row, int64_t valid, const S* dy, S* dx) {
  const int64_t n = pool.features;
  for (int64_t i = 0; i < pool.steps * n; ++i) dx[i] = S(0);
  if (valid == 0) return;
  switch (pool.kind) {
    case PoolKind::kLast:
      for (int64_t j = 0; j < n; ++j) dx[(valid - 1) * n + j] = dy[j];
      return;
    case PoolKind::kMean:
      for (int64_t t = 0; t < valid; ++t) {
        for (int64_t j = 0; j < n; ++j) dx[t * n + j] = dy[j] / static_cast<S>(valid);
      }
      return;
    case PoolKind::kMax:
      const S* x = pool.x + row * pool.steps * n;
      for (int64_t j = 0; j < n; ++j) {
        int64_t best = 0;
        for (int64_t t = 1; t < valid; ++t) best = x[t * n + j] > x[best * n + j] ? t : best;
        dx[best * n + j] = dy[j];
      }
      return;
  }
}

HD int64_t valid_steps(const int32_t* lengths, int64_t row, int64_t steps) {
  return lengths == nullptr ? steps : int64_t{lengths[row]};
}

}  // namespace lookback
