#include "cells/rra.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Rra)

}  // namespace lookback
