#include "backend/cuda/loops/loops.cuh"
#include "cells/exprnn.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Exprnn)

}  // namespace lookback
