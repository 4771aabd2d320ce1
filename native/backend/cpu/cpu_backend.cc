#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cancel.h"
#include "backend/cpu/denormals.h"
#include "backend/cpu/recurrence.h"
#include "base/error.h"

namespace lookback {
namespace {

/// More than any machine has; a typo should not start a million threads.
constexpr int kMaxThreads = 1024;

}  // namespace

int thread_count(int wanted) {
  REQUIRE(wanted >= 0 && wanted <= kMaxThreads, kOption, "option threads is ", wanted,
          "; expected a whole number in 0..", kMaxThreads, " (0: from the CPU quota)");
  const char* reason = "";
  return wanted > 0 ? wanted : default_threads(&reason);
}

template <class S>
CpuBackend<S>::CpuBackend(int threads) : CpuElementwise<S>(thread_count(threads)) {}

template <class S>
int CpuBackend<S>::threads() const {
  return runtime_.pool.threads();
}

template <class S>
void CpuBackend<S>::set_cancel(const std::atomic<bool>* cancel) {
  runtime_.cancel = cancel;
}

template <class S>
std::unique_ptr<Recurrence<S>> CpuBackend<S>::recurrence(const std::string& kind,
                                                         const Spec& spec) {
  return make_cpu_recurrence<S>(runtime_, kind, spec);
}

template <class S>
void CpuBackend<S>::gemm(const Gemm<S>& g) {
  const FlushDenormals flush;
  gemm_in_parts(g, runtime_);
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace lookback
