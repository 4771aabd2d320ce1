#include "backend/cpu/cancel.h"

#include <algorithm>

#include "base/error.h"

namespace lookback {
namespace {

/// Multiply-adds of one thread between two looks at the cancel flag: 4 ms at 50 of them a
/// nanosecond.
constexpr int64_t kPartWork = 200'000'000;
/// Rows of a part: it packs the other operand anew, which so many make up for. Likewise columns for
/// each thread.
constexpr int64_t kMinRows = 64;
constexpr int64_t kMinColumns = 64;

}  // namespace

void require_running(const CpuRuntime& runtime) {
  REQUIRE(!cancelled(runtime), kAborted, "the job was cancelled");
}

template <class S>
GemmPart gemm_part(const Gemm<S>& g, int threads) {
  const int64_t depth = std::max<int64_t>(1, g.k);
  const int64_t rows = std::max(kMinRows, kPartWork / std::max<int64_t>(1, g.n * depth));
  const int64_t used = std::max<int64_t>(1, std::min(rows, g.m));
  return {rows, threads * std::max(kMinColumns, kPartWork / (used * depth))};
}

template <class S>
void gemm_in_parts(const Gemm<S>& g, CpuRuntime& runtime) {
  const GemmPart size = gemm_part(g, runtime.pool.threads());
  for (int64_t row = 0; row < g.m; row += size.rows) {
    for (int64_t column = 0; column < g.n; column += size.columns) {
      require_running(runtime);
      Gemm<S> part = g;
      part.m = std::min(size.rows, g.m - row);
      part.n = std::min(size.columns, g.n - column);
      part.a += row * g.a_row;
      part.b += column * g.b_col;
      part.c += row * g.c_row + column;
      cpu_gemm(part, runtime.pool);
    }
  }
}

template GemmPart gemm_part(const Gemm<float>&, int);
template GemmPart gemm_part(const Gemm<double>&, int);
template void gemm_in_parts(const Gemm<float>&, CpuRuntime&);
template void gemm_in_parts(const Gemm<double>&, CpuRuntime&);

}  // namespace lookback
