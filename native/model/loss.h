/// The loss of a model with its options.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "base/spec.h"

namespace lookback {

struct Loss {
  LossKind kind = LossKind::kSoftmaxCrossEntropy;
  bool skip_nan = false;  ///< targets that are NaN take no part; else they are an error
  double delta = 1;
  double min_variance = 0;
  std::vector<double> quantiles;

  /// Labels instead of targets.
  bool wants_labels() const { return kind == LossKind::kSoftmaxCrossEntropy; }
  /// The activation that the last layer leaves out, because the loss contains it.
  Activation ending() const;
  /// Targets that go with so many outputs; ERR_SHAPE where none do.
  int64_t target_size(int64_t outputs) const;
  const char* name() const;
};

/// Options: kind ('softmaxCrossEntropy', 'meanSquaredError', 'meanAbsoluteError', 'huber',
/// 'quantile', 'gaussianNegativeLogLikelihood', 'binaryCrossentropy'), skipNaN, delta (huber),
/// quantile0, quantile1, ... (quantile), minVariance (gaussian). Throws ERR_OPTION.
Loss read_loss(const Spec& spec);

}  // namespace lookback
