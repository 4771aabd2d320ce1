#include "cells/bnlstm.h"

#include "backend/cpu/kernels/loops-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_CELL_LOOPS(BnLstm)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
