/// The threads of one block on a GPU; the counterpart of emulated.h.
#pragma once

#include <atomic>

namespace lookback {

class GpuThreads {
 public:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ void sync() const { __syncthreads(); }
  /// A kernel runs to its end; the host asks between launches.
  __device__ bool agree(const std::atomic<bool>*) const { return false; }
};

}  // namespace lookback
