#include "parametrization/attention_weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {

size_t AttentionWeights::place(int row, int column) const {
  return static_cast<size_t>(int64_t{row} * entries_ * columns_ + column);
}

/// What the first n entries of a column are divided by.
double AttentionWeights::divisor(const double* W, int n, int column) const {
  double sum = 0;
  for (int k = 0; k < n; ++k) {
    const double weight = W[int64_t{k} * columns_];
    sum += normalize_ == Normalize::kL1 ? std::abs(weight) : weight;
  }
  const bool whole = n == entries_, single = columns_ == 1;
  REQUIRE(
      std::abs(sum) >= kPole, kNumeric, "the sum of ",
      normalize_ == Normalize::kL1 ? "the absolute values of " : "",
      whole ? text("the ", n) : text("the first ", n, " of ", entries_), " weights ", name_,
      single ? "" : text(", column ", column, ","), " is ", sum,
      ", and they are divided by it; use normalize 'softmax', which has no pole, or keep weight "
      "decay off ",
      name_);
  return sum;
}

void AttentionWeights::build(const HostArrays& params, HostArrays&, HostArrays& derived,
                             const Multiply&) {
  std::vector<double>& weights = derived[0];
  std::fill(weights.begin(), weights.end(), 0.0);
  for (int row = 0; row < rows(); ++row) {
    for (int column = 0; column < columns_; ++column) {
      const double* W = params[0].data() + column;
      double* w = weights.data() + place(row, column);
      const int n = seen(row);
      const auto each = [&](auto weight) {
        for (int k = 0; k < n; ++k) w[int64_t{k} * columns_] = weight(W[int64_t{k} * columns_]);
      };
      if (normalize_ == Normalize::kNone) {
        each([](double weight) { return weight; });
      } else if (normalize_ == Normalize::kSoftmax) {
        double top = W[0], total = 0;
        for (int k = 1; k < n; ++k) top = std::max(top, W[int64_t{k} * columns_]);
        for (int k = 0; k < n; ++k) total += std::exp(W[int64_t{k} * columns_] - top);
        each([&](double weight) { return std::exp(weight - top) / total; });
      } else {
        const double sum = divisor(W, n, column);
        each([&](double weight) { return weight / sum; });
      }
    }
  }
  weights_ = weights;
}

void AttentionWeights::adjoint(const HostArrays& params, const HostArrays& d_derived,
                               HostArrays& d_params, const Multiply&) {
  for (int row = 0; row < rows(); ++row) {
    for (int column = 0; column < columns_; ++column) {
      const double* W = params[0].data() + column;
      const double* w = weights_.data() + place(row, column);
      const double* dw = d_derived[0].data() + place(row, column);
      double* dW = d_params[0].data() + column;
      const int n = seen(row);
      const bool divided = normalize_ == Normalize::kSum || normalize_ == Normalize::kL1;
      const double sum = divided ? divisor(W, n, column) : 1;
      double r = 0;
      for (int64_t k = 0; k < n; ++k) r += dw[k * columns_] * w[k * columns_];
      for (int64_t k = 0; k < n; ++k) {
        const double weight = W[k * columns_], d = dw[k * columns_];
        const double sign = weight > 0 ? 1 : weight < 0 ? -1 : 0;
        double& to = dW[k * columns_];
        switch (normalize_) {
          case Normalize::kSum:
            to += (d - r) / sum;
            break;
          case Normalize::kSoftmax:
            to += w[k * columns_] * (d - r);
            break;
          case Normalize::kL1:
            to += (d - sign * r) / sum;
            break;
          case Normalize::kNone:
            to += d;
            break;
        }
      }
    }
  }
}

}  // namespace lookback
