/// The loss of one term of a batch: a row or a step with all its targets, forward and backward.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "ops/calls.h"
#include "ops/loss.h"

namespace lookback {

template <class S>
HD LossSum label_loss(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.outputs;
  S* d = call.d == nullptr ? nullptr : call.d + term * n;
  const RowLoss row = cross_entropy_row(n, call.y + term * n, call.labels[term],
                                        static_cast<S>(call.scale * weight), d);
  return {weight * row.loss, row.hit ? 1.0 : 0.0, 0};
}

template <class S>
HD ElementLoss element_loss(const LossCall<S>& call, int64_t output, double y, double t) {
  switch (call.kind) {
    case LossKind::kAbsoluteError:
      return absolute_error(y, t);
    case LossKind::kHuber:
      return huber_loss(y, t, call.delta);
    case LossKind::kQuantile:
      return quantile_loss(y, t, call.quantiles[output % (call.outputs / call.target_size)]);
    case LossKind::kBinaryCrossEntropy:
      return binary_cross_entropy(y, t);
    default:
      return squared_error(y, t);
  }
}

/// Outputs of a quantile loss: all quantiles of the first target, then those of the next.
template <class S>
HD LossSum target_loss(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.outputs, per_target = n / call.target_size;
  const double share = 1.0 / static_cast<double>(n);
  LossSum sum;
  for (int64_t j = 0; j < n; ++j) {
    const double y = static_cast<double>(call.y[term * n + j]);
    const double t = static_cast<double>(call.targets[term * call.target_size + j / per_target]);
    ElementLoss own{0, 0};
    if (t == t) {
      own = element_loss(call, j, y, t);
      sum.loss += own.loss;
      sum.absolute += (y - t) * sign_of(y - t);
      sum.hits += (y > 0) == (t > 0.5) ? 1 : 0;
    }
    if (call.d != nullptr)
      call.d[term * n + j] = static_cast<S>(call.scale * weight * share * own.d);
  }
  return {weight * share * sum.loss, share * sum.hits, share * sum.absolute};
}

/// Outputs: all means, then the logarithms of all variances.
template <class S>
HD LossSum gaussian_term(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.target_size;
  const double share = 1.0 / static_cast<double>(n);
  const S* y = call.y + term * 2 * n;
  LossSum sum;
  for (int64_t j = 0; j < n; ++j) {
    const double t = static_cast<double>(call.targets[term * n + j]);
    const double mean = static_cast<double>(y[j]);
    GaussianLoss own{0, 0, 0};
    if (t == t) {
      own = gaussian_loss(mean, static_cast<double>(y[n + j]), t, call.min_variance);
      sum.loss += own.loss;
      sum.absolute += (mean - t) * sign_of(mean - t);
    }
    if (call.d == nullptr) continue;
    S* d = call.d + term * 2 * n;
    d[j] = static_cast<S>(call.scale * weight * share * own.d_mean);
    d[n + j] = static_cast<S>(call.scale * weight * share * own.d_log_variance);
  }
  return {weight * share * sum.loss, 0, share * sum.absolute};
}

template <class S>
HD LossSum term_loss(const LossCall<S>& call, int64_t term) {
  const double weight = call.weights == nullptr ? 1.0 : static_cast<double>(call.weights[term]);
  if (weight == 0) {
    for (int64_t j = 0; call.d != nullptr && j < call.outputs; ++j)
      call.d[term * call.outputs + j] = S(0);
    return {};
  }
  switch (call.kind) {
    case LossKind::kSoftmaxCrossEntropy:
      return label_loss(call, term, weight);
    case LossKind::kGaussian:
      return gaussian_term(call, term, weight);
    default:
      return target_loss(call, term, weight);
  }
}

/// The weight of one term, and what it adds to the sums.
template <class S>
HD S term_weight(const TermWeights<S>& all, int64_t term, TermSum& sum) {
  const int64_t row = term / all.steps;
  const int64_t step = term % all.steps;
  const bool within = all.lengths == nullptr || step < all.lengths[row];
  const bool valid = within && step >= all.burn_in;
  S weight = valid ? S(1) : S(0);
  if (valid && all.weights != nullptr) weight = all.weights[all.per_row ? row : term];
  double share = 1;
  if (valid && all.targets != nullptr) {
    const S* own = all.targets + term * all.target_size;
    int64_t missing = 0;
    for (int64_t j = 0; j < all.target_size; ++j) missing += own[j] != own[j] ? 1 : 0;
    share = 1 - static_cast<double>(missing) / static_cast<double>(all.target_size);
  }
  sum.weight += static_cast<double>(weight) * share;
  sum.count += weight != S(0) ? share : 0;
  return weight;
}

}  // namespace lookback
