/// Makes the CPU's recurrences.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// `runtime` must outlive the recurrence.
template <class S>
std::unique_ptr<Recurrence<S>> make_cpu_recurrence(CpuRuntime& runtime, const std::string& cell,
                                                   const Spec& spec);

}  // namespace lookback
