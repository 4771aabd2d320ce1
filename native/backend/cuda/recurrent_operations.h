/// The place of the recurrent drivers behind the table: operations from `kCudaRecurrent` on. The
/// library and the device on host threads each define this function.
#pragma once

#include <cstdint>

#include "backend/cuda/api.h"

namespace lookback {

/// As CudaTable::launch.
int32_t launch_recurrent(CudaSession* session, int32_t operation, int32_t dtype,
                         const void* arguments, int64_t bytes, CudaFault* fault);

}  // namespace lookback
