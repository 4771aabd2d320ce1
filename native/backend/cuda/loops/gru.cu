#include "backend/cuda/loops/loops.cuh"
#include "cells/gru.h"
#include "cells/gru_norm.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Gru)
LOOKBACK_CUDA_LOOPS(LayerNormGru)

}  // namespace lookback
