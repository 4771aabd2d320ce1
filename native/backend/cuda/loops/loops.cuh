/// The kernels of a cell's loop over time, for the source of one cell.
#pragma once

#include <mutex>

#include "backend/cuda/block_loop.h"
#include "backend/cuda/block_tools.h"
#include "backend/cuda/gpu.cuh"
#include "backend/cuda/loops/loops.h"

namespace lookback {

template <class Cell, class S, int kQuads>
__global__ void __launch_bounds__(kMostBlockThreads, 1)
    loop_forward(const __grid_constant__ BlockArgs<S> args,
                 const __grid_constant__ BlockWork work) {
  extern __shared__ double2 shared[];
  S* const numbers = args.shared_numbers > 0 ? reinterpret_cast<S*>(shared) : nullptr;
  block_forward<Cell, kQuads>(GpuThreads(), args, work, numbers);
}

template <class Cell, class S, int kQuads>
__global__ void __launch_bounds__(kMostBlockThreads, 1)
    loop_backward(const __grid_constant__ BlockArgs<S> args,
                  const __grid_constant__ BlockWork work) {
  extern __shared__ double2 shared[];
  S* const numbers = args.shared_numbers > 0 ? reinterpret_cast<S*>(shared) : nullptr;
  block_backward<Cell, kQuads>(GpuThreads(), args, work, numbers);
}

/// The sizes of a launch.
template <class S>
struct LoopSizes {
  cudaLaunchAttribute cluster = {};
  cudaLaunchConfig_t config = {};

  explicit LoopSizes(const LoopOp<S>& op) {
    const int together = op.args.cluster * op.args.shares;
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {static_cast<unsigned>(together), 1, 1};
    config.gridDim = dim3(static_cast<unsigned>(op.blocks));
    config.blockDim = dim3(static_cast<unsigned>(op.threads));
    config.dynamicSmemBytes = static_cast<size_t>(op.shared_bytes);
    config.attrs = &cluster;
    config.numAttrs = together > 1 ? 1 : 0;
  }
  LoopSizes(const LoopSizes&) = delete;
  LoopSizes& operator=(const LoopSizes&) = delete;
};

/// Calls use(kernel) with the one that an operation means, which may then have its shared memory.
template <class Cell, int kQuads, class S, class Use>
cudaError_t with_kernel_holding(const LoopOp<S>& op, const Use& use) {
  const auto kernel = op.backward ? loop_backward<Cell, S, kQuads> : loop_forward<Cell, S, kQuads>;
  // The attribute is the kernel's, and another model, or `explain`, may want it smaller: not
  // between here and the launch.
  static std::mutex mutex;
  std::unique_lock<std::mutex> alone(mutex, std::defer_lock);
  if (op.shared_bytes > 48 << 10) {
    alone.lock();
    const cudaError_t result =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, op.shared_bytes);
    if (result != cudaSuccess) return result;
  }
  return use(kernel);
}

template <class Cell, class S, class Use>
cudaError_t with_kernel(const LoopOp<S>& op, const Use& use) {
  if constexpr (kHoldsWeights<Cell, S>) {
    if (op.args.held) return with_kernel_holding<Cell, kHeldQuads>(op, use);
  }
  return with_kernel_holding<Cell, 0>(op, use);
}

template <class Cell, class S>
cudaError_t launch_loop(const LoopOp<S>& op, cudaStream_t stream) {
  return with_kernel<Cell>(op, [&](auto kernel) {
    LoopSizes<S> sizes(op);
    sizes.config.stream = stream;
    return cudaLaunchKernelEx(&sizes.config, kernel, op.args, op.work);
  });
}

template <class Cell, class S>
cudaError_t count_clusters(const LoopOp<S>& op, int* count) {
  return with_kernel<Cell>(op, [&](auto kernel) {
    const LoopSizes<S> sizes(op);
    return cudaOccupancyMaxActiveClusters(count, kernel, &sizes.config);
  });
}

/// Both number types of one entry of the registry.
#define LOOKBACK_CUDA_LOOPS(...)                                                              \
  template cudaError_t launch_loop<__VA_ARGS__, float>(const LoopOp<float>&, cudaStream_t);   \
  template cudaError_t launch_loop<__VA_ARGS__, double>(const LoopOp<double>&, cudaStream_t); \
  template cudaError_t count_clusters<__VA_ARGS__, float>(const LoopOp<float>&, int*);        \
  template cudaError_t count_clusters<__VA_ARGS__, double>(const LoopOp<double>&, int*);

}  // namespace lookback
