#include "backend/cuda/loops/loops.cuh"
#include "cells/rra.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Rra)

}  // namespace lookback
