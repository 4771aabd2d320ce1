/// Looks at the cancel flag, and work in pieces short enough for one between two of them.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/threads.h"

namespace lookback {

inline bool cancelled(const CpuRuntime& runtime) {
  return runtime.cancel != nullptr && runtime.cancel->load(std::memory_order_relaxed);
}

/// ERR_ABORTED where the job was cancelled.
void require_running(const CpuRuntime& runtime);

/// The size of the parts that a product is computed in.
struct GemmPart {
  int64_t rows = 0, columns = 0;
};
template <class S>
GemmPart gemm_part(const Gemm<S>& g, int threads);

/// cpu_gemm in parts that take a few milliseconds each; an element does not depend on how its
/// product is cut. ERR_ABORTED.
template <class S>
void gemm_in_parts(const Gemm<S>& g, CpuRuntime& runtime);

}  // namespace lookback
