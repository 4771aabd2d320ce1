// Compiles every registered cell, forward and backward, for the device: nvcc must accept the very
// headers that the CPU runs. CI builds this for sm_80 and sm_90 where nvcc is found; nothing here
// is executed.
#include "backend/cuda/block_context.h"
#include "backend/cuda/gpu.cuh"
#include "backend/walk.h"
#include "cells/registry.h"

namespace lookback {

constexpr int kRows = 8;

template <class Cell>
__global__ void persistent_forward(SequenceArgs<float> args, Cell cell) {
  const int block = static_cast<int>(blockIdx.x);
  BlockContext<GpuThreads, float, kRows> x({}, args, block, block + 1);
  walk_forward(args, cell, x);
}

template <class Cell>
__global__ void persistent_backward(SequenceArgs<float> args, Cell cell) {
  const int block = static_cast<int>(blockIdx.x);
  BlockContext<GpuThreads, float, kRows> x({}, args, block, block + 1);
  walk_backward(args, cell, x);
}

__global__ void weight_gradient(SequenceArgs<float> args, int linear, int first_step, int rows,
                                float* dW, float* db) {
  block_weight_gradient<GpuThreads, float, kRows>({}, args, linear, first_step, 0, rows, dW, db);
}

template <class... Cells>
void instantiate(CellList<Cells...>) {
  const void* kernels[] = {reinterpret_cast<const void*>(&persistent_forward<Cells>)...,
                           reinterpret_cast<const void*>(&persistent_backward<Cells>)...};
  static_cast<void>(kernels);
}

void instantiate_all() { instantiate(Cells()); }

}  // namespace lookback
