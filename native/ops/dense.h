/// Activations of a dense layer, elementwise and per row, forward and backward. Derivatives take
/// the output, so a backward pass needs nothing but y.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// NaN stays NaN: a ReLU must not hide a model that has diverged.
struct Relu {
  template <class S>
  HD static S value(S x) {
    return where_positive(-x, S(0), x);
  }
  template <class S>
  HD static S derivative(S y) {
    return where_positive(y, S(1), S(0));
  }
};

struct Elu {
  template <class S>
  HD static S value(S x) {
    return elu(x);
  }
  template <class S>
  HD static S derivative(S y) {
    return d_elu(y);
  }
};

struct Tanh {
  template <class S>
  HD static S value(S x) {
    return tanh(x);
  }
  template <class S>
  HD static S derivative(S y) {
    return d_tanh(y);
  }
};

struct Sigmoid {
  template <class S>
  HD static S value(S x) {
    return sigmoid(x);
  }
  template <class S>
  HD static S derivative(S y) {
    return d_sigmoid(y);
  }
};

/// y = softmax(y) over one row of n >= 1 entries, in place. The largest entry is subtracted first,
/// so nothing overflows; the sum is kept in double.
template <class S>
HD void softmax_row(int64_t n, S* y) {
  S largest = y[0];
  for (int64_t i = 1; i < n; ++i) largest = max(largest, y[i]);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    y[i] = exp(y[i] - largest);
    sum += static_cast<double>(y[i]);
  }
  const S scale = static_cast<S>(1.0 / sum);
  for (int64_t i = 0; i < n; ++i) y[i] *= scale;
}

/// dy = y * (dy - sum_j y_j dy_j) for one row, in place, from the softmax's output y.
template <class S>
HD void softmax_row_backward(int64_t n, const S* y, S* dy) {
  double dot = 0;
  for (int64_t i = 0; i < n; ++i) dot += static_cast<double>(y[i]) * static_cast<double>(dy[i]);
  const S mean = static_cast<S>(dot);
  for (int64_t i = 0; i < n; ++i) dy[i] = y[i] * (dy[i] - mean);
}

}  // namespace lookback
