/// The kernels that are compiled once per instruction set, as one table of plain functions for each.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "backend/cpu/sequence.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// The time loop of one cell. `cell` points to the cell's struct.
template <class S>
struct CellLoops {
  const char* type = nullptr;  ///< Cell::kType: which instantiation of which cell
  void (*forward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
  void (*backward)(const SequenceArgs<S>& args, const void* cell, int worker) = nullptr;
};

/// The weight gradient of one Linear over all tiles and steps: dW [rows][k] and db [rows] are assigned.
template <class S>
struct WeightGradient {
  int linear = 0;
  int first_step = 0;  ///< 0, or minus the number of initial entries
  int row_begin = 0, row_end = 0;
  S* dW = nullptr;
  S* db = nullptr;       ///< or null
  S* scratch = nullptr;  ///< CpuKernels::gradient_scratch numbers, 64-byte aligned, one a worker
};

template <class S>
struct CpuKernels {
  int tile_rows = 0;  ///< batch rows that one tile holds
  int max_block = 0;  ///< outputs per register block; packings use any of `blocks`
  int blocks[5] = {};
  const CellLoops<S>* cells = nullptr;
  int cell_count = 0;
  void (*weight_gradient)(const SequenceArgs<S>& args, const WeightGradient<S>& g) = nullptr;
  /// Columns [n_begin, n_end) of rows [m_begin, m_end); `panel` holds `gemm_panel * k` numbers, 64-byte aligned.
  void (*gemm)(const Gemm<S>& g, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
               S* panel) = nullptr;
  int64_t gradient_scratch = 0;
  int gemm_panel = 0;  ///< columns of a packed panel; n ranges begin at multiples of it
};

/// The table of the instruction set chosen in isa.h.
template <class S>
const CpuKernels<S>& cpu_kernels();

/// The whole product on the pool.
template <class S>
void cpu_gemm(const Gemm<S>& g, ThreadPool& pool);

}  // namespace lookback
