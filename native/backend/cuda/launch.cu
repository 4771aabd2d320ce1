// Launches of the operations outside of time loops.
#include "backend/cuda/faults.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/operation_list.h"
#include "backend/cuda/session.cuh"

namespace lookback {
namespace {

constexpr int kThreads = kMaxThreads;

/// A thread of a block, for the operations of operations.h.
class GpuBlock {
 public:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ int64_t index() const { return blockIdx.x; }
  __device__ void sync() const { __syncthreads(); }
  template <class T>
  __device__ T* shared() const {
    extern __shared__ double memory[];
    return reinterpret_cast<T*>(memory);
  }
};

template <class Body>
__global__ void __launch_bounds__(kThreads) for_blocks(const Body body) {
  body(GpuBlock());
}

/// What one launch can have along its first dimension; no array of ours is as large.
constexpr int64_t kMaxBlocks = INT32_MAX;

template <class Body>
int32_t run_blocks(CudaSession* session, const Body& body, int threads, CudaFault* fault) {
  const int64_t blocks = body.blocks();
  if (blocks == 0) return kCudaOk;
  if (blocks > kMaxBlocks) return set_fault(fault, kCudaFailed, "a launch", "too many blocks");
  for_blocks<<<static_cast<unsigned>(blocks), threads, Body::kShared, session->stream>>>(body);
  return cuda_check_launch("a launch", fault);
}

template <class S>
int32_t run(CudaSession* session, const GemmOp<S>& op, CudaFault* fault) {
  return run_blocks(session, GemmBody<S, GpuGemmTile>{op}, GpuGemmTile::threads, fault);
}

template <class S>
int32_t run(CudaSession* session, const BlasGemmOp<S>& op, CudaFault* fault) {
  return session->blas.multiply(op.product, fault);
}

template <class Op>
int32_t run(CudaSession* session, const Op& op, CudaFault* fault) {
  if constexpr (requires { op.items(); }) {
    return run_items(session, op, fault);
  } else {
    return run_blocks(session, op, kThreads, fault);
  }
}

}  // namespace

int32_t launch_operation(CudaSession* session, int32_t operation, int32_t dtype,
                         const void* arguments, int64_t bytes, CudaFault* fault) {
  int32_t status = kCudaOk;
  const auto go = [&](const auto& op) { status = run(session, op, fault); };
  const bool known = dtype == sizeof(float)
                         ? with_operation(Operations<float>(), operation, arguments, bytes, go)
                         : with_operation(Operations<double>(), operation, arguments, bytes, go);
  return known ? status : set_fault(fault, kCudaFailed, "a launch", "unknown operation");
}

}  // namespace lookback
