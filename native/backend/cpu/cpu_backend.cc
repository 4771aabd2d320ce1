#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/denormals.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/recurrence.h"
#include "base/error.h"

namespace lookback {
namespace {

/// More than any machine has; a typo should not start a million threads.
constexpr int kMaxThreads = 1024;

int thread_count(int wanted) {
  REQUIRE(wanted >= 0 && wanted <= kMaxThreads, kOption, "option threads is ", wanted,
          "; expected a whole number in 0..", kMaxThreads, " (0: from the CPU quota)");
  const char* reason = "";
  return wanted > 0 ? wanted : default_threads(&reason);
}

}  // namespace

template <class S>
CpuBackend<S>::CpuBackend(DeviceKind kind, int threads)
    : CpuElementwise<S>(thread_count(threads)), kind_(kind) {}

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
  return make_cpu_recurrence<S>(runtime_, kind_, kind, spec);
}

template <class S>
void CpuBackend<S>::gemm(const Gemm<S>& g) {
  const FlushDenormals flush;
  cpu_gemm(g, runtime_.pool);
}

template <class S>
std::unique_ptr<Backend<S>> make_backend(DeviceKind kind, int threads) {
#if !defined(LOOKBACK_EMULATED)
  REQUIRE(kind != DeviceKind::kEmulated, kDevice,
          "device 'emulated' is not built in; it exists in the test build only, use 'cpu'");
#endif
  return std::make_unique<CpuBackend<S>>(kind, threads);
}

template class CpuBackend<float>;
template class CpuBackend<double>;
template std::unique_ptr<Backend<float>> make_backend(DeviceKind, int);
template std::unique_ptr<Backend<double>> make_backend(DeviceKind, int);

}  // namespace lookback
