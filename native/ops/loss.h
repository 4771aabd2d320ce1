/// Losses with their gradients: of one row of logits against a label, of one output against its
/// target.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// Loss of one row, and whether its largest entry is the label (the first one where several are
/// equal).
struct RowLoss {
  double loss;
  bool hit;
};

/// Cross-entropy of softmax(logits) against a label: log(sum_j e^{l_j}) - l_label, by way of the
/// largest logit.
///   d_j = scale * (softmax_j - [j = label])
/// logits  in   [n]
/// d       out  [n]  may alias logits; null to skip
template <class S>
HD RowLoss cross_entropy_row(int64_t n, const S* logits, int32_t label, S scale, S* d) {
  int64_t best = 0;
  for (int64_t j = 1; j < n; ++j) best = logits[j] > logits[best] ? j : best;
  const S largest = logits[best];
  const S own = logits[label] - largest;
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += static_cast<double>(exp(logits[j] - largest));
  if (d != nullptr) {
    const S factor = static_cast<S>(static_cast<double>(scale) / sum);
    for (int64_t j = 0; j < n; ++j) {
      d[j] = exp(logits[j] - largest) * factor - (j == label ? scale : S(0));
    }
  }
  return {log(sum) - static_cast<double>(own), best == label};
}

/// Loss of one output, and its derivative by that output.
struct ElementLoss {
  double loss, d;
};

/// (y - t)^2.
HD ElementLoss squared_error(double y, double t) {
  const double off = y - t;
  return {off * off, 2 * off};
}

HD double sign_of(double x) { return x > 0 ? 1.0 : (x < 0 ? -1.0 : 0.0); }

/// |y - t|; the derivative at 0 is 0.
HD ElementLoss absolute_error(double y, double t) {
  const double off = y - t;
  const double sign = sign_of(off);
  return {off * sign, sign};
}

/// Half the square up to `delta`, from there on a line: (y - t)^2 / 2, or delta (|y - t| - delta /
/// 2).
HD ElementLoss huber_loss(double y, double t, double delta) {
  const double off = y - t, sign = sign_of(off);
  if (off * sign <= delta) return {0.5 * off * off, off};
  return {delta * (off * sign - 0.5 * delta), delta * sign};
}

/// Pinball: q (t - y) where y is too low, (1 - q) (y - t) where it is too high; its mean is least
/// where y is the quantile q of t.
HD ElementLoss quantile_loss(double y, double t, double q) {
  const double off = t - y;
  if (off > 0) return {q * off, -q};
  return {(q - 1) * off, off < 0 ? 1 - q : 0.0};
}

/// Cross-entropy of sigmoid(z) against t in 0..1: -t log s - (1 - t) log(1 - s), from the logit z.
HD ElementLoss binary_cross_entropy(double z, double t) {
  const double small = exp(z > 0 ? -z : z);  // e^{-|z|}
  const double share = (z > 0 ? 1.0 : small) / (1 + small);
  return {(z > 0 ? z : 0.0) - z * t + log(1 + small), share - t};
}

/// Negative log-likelihood of t under a normal distribution of mean m and variance v = e^s +
/// min_variance:
///   (log(2 pi) + log v + (t - m)^2 / v) / 2
struct GaussianLoss {
  double loss, d_mean, d_log_variance;
};
HD GaussianLoss gaussian_loss(double mean, double log_variance, double t, double min_variance) {
  constexpr double kLogTwoPi = 1.8378770664093454836;
  const double own = exp(log_variance), v = own + min_variance;
  const double off = mean - t, share = off * off / v;
  return {0.5 * (kLogTwoPi + log(v) + share), off / v, 0.5 * own / v * (1 - share)};
}

}  // namespace lookback
