#include "cells/scurnn.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Scurnn)

}  // namespace lookback
