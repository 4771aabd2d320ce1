/// Makes the recurrences of a CUDA device.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "ops/multiply.h"

namespace lookback {

/// `backend` computes on `device`; both outlive the recurrence. `on_host` multiplies what the cell
/// prepares in the host's memory.
template <class S>
std::unique_ptr<Recurrence<S>> make_cuda_recurrence(Backend<S>& backend, CudaDevice& device,
                                                    const Multiply& on_host,
                                                    const std::string& cell, const Spec& spec);

}  // namespace lookback
