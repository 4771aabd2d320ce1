/// How parameters start.
#pragma once

#include <cstdint>

#include "backend/backend.h"

namespace lookback {

/// Fills a parameter as its `init` says, from stream `stream` of `seed`: the same numbers for both
/// element types (up to rounding) and on every machine. Orthogonal matrices are those of
/// `orthogonalise`.
template <class S>
void initialize(const ParamInfo& info, uint64_t seed, uint32_t stream, S* values);

}  // namespace lookback
