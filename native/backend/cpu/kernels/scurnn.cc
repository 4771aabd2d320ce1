#include "cells/scurnn.h"

#include "backend/cpu/kernels/loops-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_UNITWISE_LOOPS(Scurnn)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
