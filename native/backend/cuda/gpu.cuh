/// The threads of one block on a GPU; the counterpart of emulated.h.
#pragma once

#include <atomic>
#include <cstdint>

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

  // Of a cluster, which devices before 9.0 do not have and the host does not launch there. Its
  // blocks are neighbours.
  /// A thread that has come to a barrier may go on with what concerns nobody until it waits there.
  __device__ void arrive(SyncSite) const {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
  }
  __device__ void wait(SyncSite) const {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
  }
  /// The same place in the shared memory of block `rank` of the cluster.
  template <class S>
  __device__ S* peer(S* own, int rank) const {
#if __CUDA_ARCH__ >= 900
    uint64_t there;
    asm("mapa.u64 %0, %1, %2;"
        : "=l"(there)
        : "l"(reinterpret_cast<uint64_t>(own)), "r"(static_cast<uint32_t>(rank)));
    return reinterpret_cast<S*>(there);
#else
    return own;
#endif
  }

  __device__ bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    int stop = 0;
    if (threadIdx.x == 0) stop = *reinterpret_cast<const volatile unsigned char*>(flag);
    return __syncthreads_or(stop) != 0;
  }
};

}  // namespace lookback
