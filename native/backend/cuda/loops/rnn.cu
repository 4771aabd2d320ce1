#include "backend/cuda/loops/loops.cuh"
#include "cells/rnn.h"
#include "cells/rnn_norm.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Rnn)
LOOKBACK_CUDA_LOOPS(LayerNormRnn)

}  // namespace lookback
