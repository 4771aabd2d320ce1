#include "cells/lstm.h"

#include "backend/cpu/kernels/loops-inl.h"
#include "cells/lstm_norm.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_UNITWISE_LOOPS(Lstm)
LOOKBACK_CELL_LOOPS(LayerNormLstm)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
