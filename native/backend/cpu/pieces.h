/// Elementwise and rowwise work cut into pieces whose size depends on the arrays only: the result
/// is the same for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/cancel.h"
#include "backend/cpu/denormals.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// Elements of one piece of work: a few microseconds, well above the cost of handing it out.
constexpr int64_t kPiece = 8192;
/// Reductions are cut into at most this many pieces, so that their partial sums fit on the stack.
constexpr int64_t kPartials = 64;

/// Calls f(piece, begin, end) for [0, n) cut into pieces of `size`; on all workers where there are
/// several pieces. ERR_ABORTED, with some of them left out, where the job is cancelled.
template <class F>
void for_pieces(CpuRuntime& runtime, int64_t n, int64_t size, const F& f) {
  ThreadPool& pool = runtime.pool;
  const int64_t pieces = (n + size - 1) / size;
  const auto some = [&](int64_t first, int64_t stride) {
    for (int64_t i = first; i < pieces && !cancelled(runtime); i += stride)
      f(i, i * size, std::min(n, (i + 1) * size));
  };
  if (pieces <= 1 || pool.threads() == 1) {
    const FlushDenormals flush;
    some(0, 1);
    return require_running(runtime);
  }
  // A lambda with one captured reference fits into std::function without an allocation.
  const struct {
    decltype(some)& work;
    int64_t stride;
  } team{some, pool.threads()};
  pool.run([&team](int worker) { team.work(worker, team.stride); });
  require_running(runtime);
}

/// Rows per piece, for work whose unit is a row.
inline int64_t rows_per_piece(int64_t cols) {
  return std::max<int64_t>(1, kPiece / std::max<int64_t>(1, cols));
}

/// Calls f(row) for [0, rows) of `cols` numbers each.
template <class F>
void for_rows(CpuRuntime& runtime, int64_t rows, int64_t cols, const F& f) {
  for_pieces(runtime, rows, rows_per_piece(cols), [&f](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

/// Sums f(begin, end) over [0, n) in the order of the pieces.
template <class Sum, class F>
Sum reduce(CpuRuntime& runtime, int64_t n, int64_t smallest, const F& f) {
  Sum partial[kPartials] = {};
  const int64_t size = std::max(smallest, (n + kPartials - 1) / kPartials);
  for_pieces(runtime, n, size,
             [&](int64_t i, int64_t begin, int64_t end) { partial[i] = f(begin, end); });
  Sum total = partial[0];
  for (int64_t i = 1; i < kPartials; ++i) total = total + partial[i];
  return total;
}

}  // namespace lookback
