#include "backend/cuda/loops/loops.cuh"
#include "cells/enrnn.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Enrnn)

}  // namespace lookback
