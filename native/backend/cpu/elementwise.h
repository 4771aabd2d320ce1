/// The elementwise and rowwise parts of a training step on the CPU.
#pragma once

#include "backend/cpu/rows.h"

namespace lookback {

/// Implements the pointwise half of `Backend`. Work is cut into pieces whose size depends on the
/// arrays only, and sums are added piece by piece in order: the result is the same for any number
/// of threads.
template <class S>
class CpuElementwise : public CpuRows<S> {
 public:
  void add_bias(int64_t rows, int64_t cols, const S* bias, S* y) override;
  void sum_rows(int64_t rows, int64_t cols, const S* x, S* out) override;
  void activate(Activation kind, int64_t rows, int64_t cols, S* y) override;
  void activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y, S* dy) override;
  void dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols, const S* x,
               S* y) override;
  double sum_squares(int64_t n, const S* x) override;
  void update(const OptimizerStep<S>& step) override;

 protected:
  explicit CpuElementwise(int threads) : CpuRows<S>(threads) {}

  using CpuRows<S>::runtime_;
};

}  // namespace lookback
