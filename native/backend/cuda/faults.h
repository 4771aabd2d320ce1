/// Filling in a `CudaFault`.
#pragma once

#include <cstdint>
#include <cstdio>

#include "backend/cuda/api.h"

namespace lookback {

inline int32_t set_fault(CudaFault* fault, CudaStatus status, const char* what, const char* detail,
                         int64_t wanted = 0, int64_t available = 0) {
  fault->status = status;
  fault->wanted = wanted;
  fault->available = available;
  std::snprintf(fault->message, sizeof fault->message, "%s: %s", what, detail);
  return status;
}

}  // namespace lookback
