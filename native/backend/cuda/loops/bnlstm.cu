#include "backend/cuda/loops/loops.cuh"
#include "cells/bnlstm.h"

namespace lookback {

LOOKBACK_CUDA_LOOPS(BnLstm)

}  // namespace lookback
