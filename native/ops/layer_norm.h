/// Layer normalisation of one row, forward and backward.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// Mean and 1 / sqrt(variance + epsilon) of a row; sums in double, in one order.
struct RowMoments {
  double mean, rate;
};

template <class S>
HD RowMoments row_moments(int64_t n, const S* x, double epsilon) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += static_cast<double>(x[j]);
  const double mean = sum / static_cast<double>(n);
  double squares = 0;
  for (int64_t j = 0; j < n; ++j) {
    const double off = static_cast<double>(x[j]) - mean;
    squares += off * off;
  }
  return {mean, 1.0 / sqrt(squares / static_cast<double>(n) + epsilon)};
}

/// y = (x - mean) / sqrt(variance + epsilon) * gain + bias, with the biased variance. `gain` and
/// `bias` may be null: 1 and 0. y may be x.
template <class S>
HD void layer_norm_row(int64_t n, const S* x, double epsilon, const S* gain, const S* bias, S* y) {
  const RowMoments m = row_moments(n, x, epsilon);
  for (int64_t j = 0; j < n; ++j) {
    const S normal = static_cast<S>((static_cast<double>(x[j]) - m.mean) * m.rate);
    const S scaled = gain == nullptr ? normal : normal * gain[j];
    y[j] = bias == nullptr ? scaled : scaled + bias[j];
  }
}

/// With g = dy * gain:  dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(variance + epsilon).
/// dy becomes dy * xhat. dx may be null.
template <class S>
HD void layer_norm_row_backward(int64_t n, const S* x, double epsilon, const S* gain, S* dy,
                                S* dx) {
  const RowMoments m = row_moments(n, x, epsilon);
  double sum = 0, dot = 0;
  for (int64_t j = 0; j < n; ++j) {
    const double normal = (static_cast<double>(x[j]) - m.mean) * m.rate;
    const double g = static_cast<double>(gain == nullptr ? dy[j] : dy[j] * gain[j]);
    sum += g;
    dot += g * normal;
  }
  const double count = static_cast<double>(n);
  for (int64_t j = 0; j < n; ++j) {
    const double normal = (static_cast<double>(x[j]) - m.mean) * m.rate;
    const double g = static_cast<double>(gain == nullptr ? dy[j] : dy[j] * gain[j]);
    if (dx != nullptr) dx[j] = static_cast<S>((g - sum / count - normal * dot / count) * m.rate);
    dy[j] = static_cast<S>(static_cast<double>(dy[j]) * normal);
  }
}

}  // namespace lookback
