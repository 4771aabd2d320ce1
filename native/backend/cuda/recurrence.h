/// Makes the recurrences of a CUDA device.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/device.h"

namespace lookback {

/// `backend` computes on `device`; both outlive the recurrence.
template <class S>
std::unique_ptr<Recurrence<S>> make_cuda_recurrence(Backend<S>& backend, CudaDevice& device,
                                                    const std::string& cell, const Spec& spec);

}  // namespace lookback
