#include "backend/cuda/loops/loops.cuh"
#include "cells/lstm.h"
#include "cells/lstm_norm.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(Lstm)
LOOKBACK_CUDA_LOOPS(LayerNormLstm)

}  // namespace lookback
