#include "backend/cpu/cpu_backend.h"

#include <algorithm>

#include "backend/cpu/denormals.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/recurrence.h"
#include "base/error.h"

namespace lookback {
namespace {

/// More than any machine has; a typo should not start a million threads.
constexpr int kMaxThreads = 1024;
/// Multiply-adds between two looks at the cancel flag: 4 ms at 50 of them a nanosecond.
constexpr int64_t kSliceWork = 200'000'000;
/// A slice packs the other operand anew, which this many rows make up for.
constexpr int64_t kMinSliceRows = 64;

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

/// In slices of rows that take a few milliseconds, with a look at the cancel flag between them; an
/// element does not depend on how its product is cut.
template <class S>
void CpuBackend<S>::gemm(const Gemm<S>& g) {
  const FlushDenormals flush;
  const int64_t row_work = std::max<int64_t>(1, g.n * g.k);
  const int64_t slice = std::max(kMinSliceRows, kSliceWork / row_work);
  for (int64_t row = 0; row < g.m; row += slice) {
    REQUIRE(runtime_.cancel == nullptr || !runtime_.cancel->load(std::memory_order_relaxed),
            kAborted, "the job was cancelled");
    Gemm<S> part = g;
    part.m = std::min(slice, g.m - row);
    part.a += row * g.a_row;
    part.c += row * g.c_row;
    cpu_gemm(part, runtime_.pool);
  }
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace lookback
