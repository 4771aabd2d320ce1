/// Which instruction set the CPU kernels use. Chosen once per process; `LOOKBACK_ISA` in the
/// environment (generic, avx2, avx512) overrides the choice where the processor supports it.
#pragma once

#include <string>

#include "backend/backend.h"

namespace lookback {

enum class Isa { kGeneric, kAvx2, kAvx512 };

Isa chosen_isa();
const char* isa_name(Isa isa);

}  // namespace lookback
