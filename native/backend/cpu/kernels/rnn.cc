#include "backend/cpu/kernels/loops-inl.h"
#include "cells/rnn_norm.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_CELL_LOOPS(LayerNormRnn)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
