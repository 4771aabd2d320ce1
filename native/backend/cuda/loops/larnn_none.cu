#include "backend/cuda/loops/loops.cuh"
#include "cells/larnn.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Larnn<NormKind::kNone>)

}  // namespace lookback
