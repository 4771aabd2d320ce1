/// The CPU as a device: what `Backend` promises, on a fixed team of threads.
#pragma once

#include <memory>
#include <string>

#include "backend/cpu/elementwise.h"

namespace lookback {

/// A number of threads as asked for; 0: from the CPU quota. ERR_OPTION where it is out of range.
int thread_count(int wanted);

/// Results do not depend on the number of threads.
template <class S>
class CpuBackend final : public CpuElementwise<S> {
 public:
  /// `threads` 0: from the CPU quota. ERR_OPTION where it is out of range.
  explicit CpuBackend(int threads);

  int threads() const override;
  void set_cancel(const std::atomic<bool>* cancel) override;
  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override;
  void gemm(const Gemm<S>& g) override;

 private:
  using CpuElementwise<S>::runtime_;
};

}  // namespace lookback
