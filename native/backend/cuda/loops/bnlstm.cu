#include "cells/bnlstm.h"

#include "backend/cuda/loops/loops.cuh"

namespace lookback {

LOOKBACK_CUDA_LOOPS(BnLstm)

}  // namespace lookback
