/// How parameters start.
#pragma once

#include <cstdint>
#include <string>

#include "backend/backend.h"

namespace lookback {

/// Fills a parameter as its `init` says, from stream `stream` of `seed`: the same numbers for both
/// element types (up to rounding) and on every machine. Orthogonal matrices are those of
/// `orthogonalise`.
template <class S>
void initialize(const ParamInfo& info, uint64_t seed, uint32_t stream, S* values);

/// A start by its name in Keras, for a weight [out, in] or [out]: 'glorotUniform', 'heUniform',
/// 'lecunUniform' (uniform in +-sqrt(6 / (in + out)), +-sqrt(6 / in), +-sqrt(3 / in)),
/// 'randomUniform' (+-0.05), 'randomNormal' (deviation 0.05), 'orthogonal', 'identity', 'zeros',
/// 'ones'. ERR_OPTION for another name, and where a matrix is needed.
Initializer initializer_named(const std::string& name, const ParamInfo& param);

}  // namespace lookback
