/// The recurrent drivers behind the table: operations from `kCudaRecurrent` on. The library and the
/// device on the host each define `launch_recurrent` and
/// `count_loop_clusters`.
#pragma once

#include <cstdint>

#include "backend/cuda/api.h"
#include "backend/cuda/operations.h"

namespace lookback {

constexpr CudaOperation kCudaMoves = CudaOperation(kCudaRecurrent + 1);
constexpr CudaOperation kCudaColumnSums = CudaOperation(kCudaRecurrent + 2);
constexpr CudaOperation kCudaInput = CudaOperation(kCudaRecurrent + 3);
constexpr CudaOperation kCudaMasks = CudaOperation(kCudaRecurrent + 4);
constexpr CudaOperation kCudaStatistics = CudaOperation(kCudaRecurrent + 5);
constexpr CudaOperation kCudaExponentials = CudaOperation(kCudaRecurrent + 7);
constexpr CudaOperation kCudaLoop = CudaOperation(kCudaRecurrent + 6);

/// As CudaTable::launch.
int32_t launch_recurrent(CudaSession* session, int32_t operation, int32_t dtype,
                         const void* arguments, int64_t bytes, CudaFault* fault);
/// As CudaTable::count_clusters.
int32_t count_loop_clusters(CudaSession* session, int32_t dtype, const void* arguments,
                            int64_t bytes, int32_t* count, CudaFault* fault);

}  // namespace lookback
