/// Operations on parameters (parametrization/operations.h), on the calling thread.
#pragma once

#include <napi.h>

namespace lookback {

/// operate(name, spec, tensors): tensors in and out by name, float64.
Napi::Value operate(const Napi::CallbackInfo& info);

}  // namespace lookback
