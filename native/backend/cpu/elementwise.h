/// The elementwise and rowwise parts of a training step on the CPU.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// Implements the pointwise half of `Backend`. Work is cut into pieces whose size depends on the
/// arrays only, and sums are added piece by piece in order: the result is the same for any number
/// of threads.
template <class S>
class CpuElementwise : public Backend<S> {
 public:
  void add_bias(int64_t rows, int64_t cols, const S* bias, S* y) override;
  void sum_rows(int64_t rows, int64_t cols, const S* x, S* out) override;
  void activate(Activation kind, int64_t rows, int64_t cols, S* y) override;
  void activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y, S* dy) override;
  void dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols, const S* x,
               S* y) override;
  LossSum softmax_cross_entropy(int64_t rows, int64_t classes, const S* logits,
                                const int32_t* labels, double scale, S* d_logits) override;
  LossSum mean_squared_error(int64_t rows, int64_t cols, const S* y, const S* target, double scale,
                             S* dy) override;
  double sum_squares(int64_t n, const S* x) override;
  void update(const OptimizerStep<S>& step) override;

 protected:
  explicit CpuElementwise(int threads) : runtime_(threads) {}

  CpuRuntime runtime_;
};

}  // namespace lookback
