#include "cells/scornn.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Scornn)

}  // namespace lookback
