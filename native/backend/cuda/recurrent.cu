// The drivers of recurrent cells: which kernel an operation is.
#include "backend/cuda/faults.h"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/loops/loops.h"
#include "backend/cuda/operation_list.h"
#include "backend/cuda/session.cuh"
#include "cells/registry.h"

namespace lookback {
namespace {

template <class S, class List>
struct Loops;
template <class S, class... Types>
struct Loops<S, CellList<Types...>> {
  using Launch = cudaError_t (*)(const LoopOp<S>&, cudaStream_t);
  static constexpr Launch kLaunch[] = {launch_loop<Types, S>...};
  using Count = cudaError_t (*)(const LoopOp<S>&, int*);
  static constexpr Count kCount[] = {count_clusters<Types, S>...};
};

template <class S>
int32_t run_loop(CudaSession* session, const LoopOp<S>& op, CudaFault* fault) {
  return cuda_check(Loops<S, Cells>::kLaunch[op.index](op, session->stream), "a time loop", fault);
}

template <class S>
int32_t count(const void* arguments, int64_t bytes, int32_t* clusters, CudaFault* fault) {
  cudaError_t result = cudaErrorInvalidValue;
  int found = 0;
  const auto go = [&](const LoopOp<S>& op) {
    result = Loops<S, Cells>::kCount[op.index](op, &found);
  };
  with_operation(OperationList<LoopOp<S>>(), kCudaLoop, arguments, bytes, go);
  // Some devices say so where others say 0.
  if (result == cudaErrorInvalidClusterSize) {
    cudaGetLastError();
    result = cudaSuccess;
    found = 0;
  }
  *clusters = found;
  return cuda_check(result, "counting clusters", fault);
}

}  // namespace

int32_t count_loop_clusters(CudaSession*, int32_t dtype, const void* arguments, int64_t bytes,
                            int32_t* clusters, CudaFault* fault) {
  return dtype == sizeof(float) ? count<float>(arguments, bytes, clusters, fault)
                                : count<double>(arguments, bytes, clusters, fault);
}

int32_t launch_recurrent(CudaSession* session, int32_t operation, int32_t dtype,
                         const void* arguments, int64_t bytes, CudaFault* fault) {
  int32_t status = kCudaOk;
  const auto go = [&]<class Op>(const Op& op) {
    if constexpr (requires { op.items(); }) {
      status = run_items(session, op, fault);
    } else {
      status = run_loop(session, op, fault);
    }
  };
  const bool known =
      dtype == sizeof(float)
          ? with_operation(RecurrentOperations<float>(), operation, arguments, bytes, go)
          : with_operation(RecurrentOperations<double>(), operation, arguments, bytes, go);
  return known ? status : set_fault(fault, kCudaFailed, "a launch", "unknown operation");
}

}  // namespace lookback
