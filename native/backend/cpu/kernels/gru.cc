#include "cells/gru.h"

#include "backend/cpu/kernels/loops-inl.h"
#include "cells/gru_norm.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_UNITWISE_LOOPS(Gru)
LOOKBACK_CELL_LOOPS(LayerNormGru)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
