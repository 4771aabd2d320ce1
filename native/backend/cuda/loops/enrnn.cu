#include "cells/enrnn.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Enrnn)

}  // namespace lookback
