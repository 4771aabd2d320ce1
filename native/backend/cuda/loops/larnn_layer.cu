#include "cells/larnn.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Larnn<NormKind::kLayer>)

}  // namespace lookback
