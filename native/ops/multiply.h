/// Matrix products as a service: what factorisations are made of.
#pragma once

#include <functional>

#include "ops/gemm.h"

namespace lookback {

/// A matrix product on the device's threads. Throws ERR_ABORTED where the job is cancelled.
using Multiply = std::function<void(const Gemm<double>&)>;

}  // namespace lookback
