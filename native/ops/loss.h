/// Losses of one row with their gradients.
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

/// Mean over the row of (y - target)^2;  d_j = scale * 2 (y_j - target_j) / n. d may alias y or be
/// null.
template <class S>
HD double squared_error_row(int64_t n, const S* y, const S* target, S scale, S* d) {
  const S factor = S(2) * scale / static_cast<S>(n);
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    const S difference = y[j] - target[j];
    sum += static_cast<double>(difference) * static_cast<double>(difference);
    if (d != nullptr) d[j] = factor * difference;
  }
  return sum / static_cast<double>(n);
}

}  // namespace lookback
