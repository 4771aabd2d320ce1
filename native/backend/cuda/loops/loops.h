/// The loops of one cell on the GPU, which its own source in this folder instantiates and
/// recurrent.cu names.
#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/block_tools.h"

namespace lookback {

template <class Cell, class S>
cudaError_t launch_loop(const LoopOp<S>& op, cudaStream_t stream);
/// Clusters of such a launch that the device can hold at once.
template <class Cell, class S>
cudaError_t count_clusters(const LoopOp<S>& op, int* count);

}  // namespace lookback
