#include "backend/cuda/loops/loops.cuh"
#include "cells/scurnn.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Scurnn)

}  // namespace lookback
