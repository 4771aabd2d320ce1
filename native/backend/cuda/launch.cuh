/// The kernel of an operation that is called item by item.
#pragma once

#include "backend/cuda/operations.h"
#include "backend/cuda/session.cuh"

namespace lookback {

template <class Op>
__global__ void __launch_bounds__(kMaxThreads) for_items(const __grid_constant__ Op op) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < op.items(); i += stride)
    op(i);
}

template <class Op>
int32_t run_items(CudaSession* session, const Op& op, CudaFault* fault) {
  if (op.items() == 0) return kCudaOk;
  const int64_t wanted = (op.items() + kMaxThreads - 1) / kMaxThreads;
  const int64_t enough = int64_t{16} * session->properties.multiProcessorCount;
  const auto blocks = static_cast<unsigned>(wanted < enough ? wanted : enough);
  for_items<<<blocks, kMaxThreads, 0, session->stream>>>(op);
  return cuda_check_launch("a launch", fault);
}

}  // namespace lookback
