/// What the rowwise and elementwise parts of a training step are asked to do: plain structs that
/// every device understands.
#pragma once

#include <cstdint>
#include <limits>

namespace lookback {

enum class Activation { kLinear, kRelu, kElu, kTanh, kSigmoid, kSoftmax };

enum class OptimizerKind { kSgd, kRmsprop, kAdam, kAdamW, kAdagrad, kAdadelta };

/// One update of a contiguous range of the flat arena. `step` counts from 1 (bias correction).
template <class S>
struct OptimizerStep {
  OptimizerKind kind = OptimizerKind::kAdam;
  int64_t n = 0;
  S* param = nullptr;
  const S* grad = nullptr;
  S* slot0 = nullptr;  ///< momentum, first moment or sum of squares; null where the kind has none
  S* slot1 = nullptr;  ///< second moment; Adadelta: mean square of its own steps
  S* slot2 = nullptr;  ///< AMSGrad: the largest second moment so far; null: plain Adam
  int64_t step = 1;
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double momentum = 0, rho = 0.9;
  bool nesterov = false;
  bool epsilon_inside = false;  ///< RMSprop: g / sqrt(s + epsilon), as TF1 has it
  double l2 = 0;                ///< added to the gradient (coupled)
  double weight_decay = 0;      ///< param -= learning_rate * weight_decay * param (decoupled)
  double grad_scale = 1;        ///< from global-norm clipping
  double clip_value = std::numeric_limits<double>::infinity();  ///< of each entry, after scaling
};

enum class LossKind {
  kSoftmaxCrossEntropy,  ///< of logits against labels
  kSquaredError,
  kAbsoluteError,
  kHuber,
  kQuantile,
  kGaussian,
  kBinaryCrossEntropy,  ///< of logits against targets in 0..1
};

/// A loss over terms: the rows of a batch, or their steps. That of a term is the mean over its
/// targets; ops/loss.h has the formulas.
template <class S>
struct LossCall {
  LossKind kind = LossKind::kSquaredError;
  int64_t terms = 0;
  int64_t outputs = 0;                ///< per term
  const S* y = nullptr;               ///< [terms, outputs]; logits for both cross-entropies
  const int32_t* labels = nullptr;    ///< [terms], for kSoftmaxCrossEntropy
  int64_t target_size = 0;            ///< per term; targets that are NaN are left out
  const S* targets = nullptr;         ///< [terms, target_size], for the others
  const S* weights = nullptr;         ///< [terms], or null: all 1. Terms of weight 0 are not read
  double scale = 1;                   ///< on the gradient
  S* d = nullptr;                     ///< [terms, outputs], assigned; null: no gradient. May be y
  double delta = 1;                   ///< kHuber: where squares turn into absolute values
  double min_variance = 0;            ///< kGaussian
  const double* quantiles = nullptr;  ///< kQuantile: [outputs / target_size]
};

/// The result of a loss over a batch: sums over its terms, each times the share of its targets that
/// are not NaN.
struct LossSum {
  double loss = 0;      ///< weighted
  double hits = 0;      ///< share of right decisions (classification), not weighted
  double absolute = 0;  ///< mean absolute error, not weighted
};

/// The weights of a loss' terms: 1 or the batch's own, 0 behind a row's length.
template <class S>
struct TermWeights {
  int64_t terms = 0;
  int64_t steps = 1;                 ///< terms per row
  int64_t burn_in = 0;               ///< first terms of every row that weigh nothing
  const int32_t* lengths = nullptr;  ///< [terms / steps], or null: all steps
  const S* weights = nullptr;        ///< [terms], or [terms / steps] with `per_row`; null: all 1
  bool per_row = false;
  const S* targets = nullptr;  ///< [terms, target_size]; those that are NaN do not count. Or null
  int64_t target_size = 0;
};

/// Sums over the terms, each times the share of its targets that count.
struct TermSum {
  double weight = 0;
  double count = 0;  ///< of terms whose weight is not 0
};

/// Whole rows of one array, copied by their numbers.
struct RowCopy {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t row_bytes = 0;  ///< a multiple of 4
};

/// Numbers of a table's rows, as floats.
template <class S>
struct IndexRead {
  int64_t count = 0;
  int64_t steps = 1;                 ///< entries per row of the batch
  const int32_t* lengths = nullptr;  ///< [count / steps], or null; what is behind them reads as 0
  int64_t rows = 0;                  ///< of the table
  const S* x = nullptr;
};

/// Rows normalised to mean 0 and variance 1, then y = xhat * gain + bias.
template <class S>
struct LayerNorm {
  int64_t rows = 0, cols = 0;
  double epsilon = 1e-5;
  const S* gain = nullptr;  ///< [cols], or null: 1
  const S* bias = nullptr;  ///< [cols], or null: 0
  const S* x = nullptr;
};

enum class PoolKind { kLast, kMean, kMax };

/// One row of features from the valid steps of a sequence; zeros where there are none.
template <class S>
struct Pool {
  PoolKind kind = PoolKind::kLast;
  int64_t batch = 0, steps = 0, features = 0;
  const int32_t* lengths = nullptr;  ///< [batch], or null: all steps
  const S* x = nullptr;              ///< [batch, steps, features]; backward: for kMax only
};

}  // namespace lookback
