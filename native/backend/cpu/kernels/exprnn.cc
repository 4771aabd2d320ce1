#include "cells/exprnn.h"

#include "backend/cpu/kernels/loops-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_UNITWISE_LOOPS(Exprnn)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
