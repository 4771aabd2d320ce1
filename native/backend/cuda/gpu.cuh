/// The threads of one block on a GPU; the counterpart of emulated.h.
#pragma once

#include <atomic>

#include "backend/cuda/block_sync.h"

namespace lookback {

class GpuThreads {
 public:
  /// Steps between two looks at the host's flag, which are slow.
  static constexpr int kStopEvery = 64;
  static constexpr int kHeldShares = 1;
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ int block() const { return static_cast<int>(blockIdx.x); }
  __device__ int blocks() const { return static_cast<int>(gridDim.x); }
  __device__ void sync(SyncSite) const { __syncthreads(); }
  __device__ bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    int stop = 0;
    if (threadIdx.x == 0) stop = *reinterpret_cast<const volatile unsigned char*>(flag);
    return __syncthreads_or(stop) != 0;
  }
};

}  // namespace lookback
