/// A session on a GPU: what the library keeps behind `CudaSession`, and how its files report what
/// the CUDA runtime says.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>

#include "backend/cuda/api.h"
#include "backend/cuda/blas.h"

namespace lookback {

/// Two of these let the host fill one while the other is on its way.
struct CudaStaging {
  void* pinned = nullptr;
  cudaEvent_t done = nullptr;
};

struct CudaSession {
  int device = 0;
  cudaStream_t stream = nullptr;
  cudaEvent_t reached = nullptr;  ///< where a wait waits for
  cudaMemPool_t pool = nullptr;
  CudaStaging staging[2];
  int next_staging = 0;
  bool recording = false;  ///< between begin_record and end_record
  CudaBlas blas;
  const std::atomic<bool>* cancel = nullptr;
  volatile unsigned char* flag = nullptr;  ///< pinned, what kernels poll
  const void* device_flag = nullptr;       ///< its address on the device
  /// Of the device, for drivers that plan with them.
  cudaDeviceProp properties;
};

struct CudaRecord {
  cudaGraphExec_t graph = nullptr;
};

/// kCudaOk, or the fault that `result` stands for.
int32_t cuda_check(cudaError_t result, const char* what, CudaFault* fault);

/// For after a kernel launch.
inline int32_t cuda_check_launch(const char* what, CudaFault* fault) {
  return cuda_check(cudaGetLastError(), what, fault);
}

}  // namespace lookback
