#include "cells/exprnn.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Exprnn)

}  // namespace lookback
