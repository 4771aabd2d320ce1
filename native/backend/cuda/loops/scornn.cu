#include "backend/cuda/loops/loops.cuh"
#include "cells/scornn.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Scornn)

}  // namespace lookback
