// The loops of rnn, scornn, enrnn and exprnn, which differ in where their recurrent matrix comes
// from alone.
#include "cells/elman.h"

#include "backend/cpu/kernels/loops-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

LOOKBACK_UNITWISE_LOOPS(Elman)

}  // namespace LOOKBACK_ISA
}  // namespace lookback
