#include "backend/cpu/kernels.h"

#include "backend/cpu/isa.h"
#include "backend/cpu/plan.h"
#include "base/error.h"

namespace lookback {

#define LOOKBACK_DECLARE_KERNELS(isa)          \
  namespace isa {                              \
  const DriverTable<float>& float_kernels();   \
  const DriverTable<double>& double_kernels(); \
  }
LOOKBACK_DECLARE_KERNELS(avx2)
LOOKBACK_DECLARE_KERNELS(avx512)
inline LOOKBACK_DECLARE_KERNELS(generic)
#undef LOOKBACK_DECLARE_KERNELS

    template <>
    const DriverTable<float>& cpu_kernels<float>() {
#if defined(__x86_64__)
  if (chosen_isa() == Isa::kAvx512) return avx512::float_kernels();
  if (chosen_isa() == Isa::kAvx2) return avx2::float_kernels();
#endif
  return generic::float_kernels();
}

template <>
const DriverTable<double>& cpu_kernels<double>() {
#if defined(__x86_64__)
  if (chosen_isa() == Isa::kAvx512) return avx512::double_kernels();
  if (chosen_isa() == Isa::kAvx2) return avx2::double_kernels();
#endif
  return generic::double_kernels();
}

template <class S>
void cpu_gemm(const Gemm<S>& g, ThreadPool& pool) {
  const DriverTable<S>& kernels = cpu_kernels<S>();
  const int64_t panels = (g.n + kernels.gemm_panel - 1) / kernels.gemm_panel;
  // A product below some ten thousand multiply-adds is done before another thread has woken up.
  const int workers = g.m * g.n * g.k < 20000 ? 1 : pool.threads();
  pool.run(workers, [&](int worker) {
    // One a worker, kept: a training step allocates nothing.
    thread_local AlignedArray<S> scratch;
    if (scratch.size() == 0) scratch = AlignedArray<S>(kernels.gemm_scratch);
    if (panels >= workers && g.m <= g.n) {
      const int64_t begin = panels * worker / workers, end = panels * (worker + 1) / workers;
      const int64_t last = end * kernels.gemm_panel < g.n ? end * kernels.gemm_panel : g.n;
      if (begin < end) kernels.gemm(g, 0, g.m, begin * kernels.gemm_panel, last, scratch.data());
    } else {
      const int64_t begin = g.m * worker / workers, end = g.m * (worker + 1) / workers;
      if (begin < end) kernels.gemm(g, begin, end, 0, g.n, scratch.data());
    }
  });
}

template void cpu_gemm(const Gemm<float>&, ThreadPool&);
template void cpu_gemm(const Gemm<double>&, ThreadPool&);

}  // namespace lookback
