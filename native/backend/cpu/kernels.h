/// The CPU's kernels: one table per instruction set.
#pragma once

#include "backend/cpu/threads.h"
#include "backend/driver.h"

namespace lookback {

/// The table of the instruction set chosen in isa.h.
template <class S>
const DriverTable<S>& cpu_kernels();

/// The whole product on the pool.
template <class S>
void cpu_gemm(const Gemm<S>& g, ThreadPool& pool);

}  // namespace lookback
