#include "cells/larnn.h"

#include "backend/cpu/kernels/loops-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_CELL_LOOPS(Larnn<NormKind::kNone>)
LOOKBACK_CELL_LOOPS(Larnn<NormKind::kLayer>)
LOOKBACK_CELL_LOOPS(Larnn<NormKind::kBatch>)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
