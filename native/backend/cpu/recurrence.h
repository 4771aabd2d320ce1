/// Makes the CPU's recurrences.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// `device` kEmulated runs the GPU's kernel bodies on host threads; ERR_DEVICE where that is not
/// built in. `runtime` must outlive the recurrence.
template <class S>
std::unique_ptr<Recurrence<S>> make_cpu_recurrence(CpuRuntime& runtime, DeviceKind device,
                                                   const std::string& cell, const Spec& spec);

}  // namespace lookback
