/// How skew-symmetric matrices are stored.
#pragma once

#include <cstdint>

#include "base/portable.h"

namespace lookback {

/// Entries above the diagonal of an n x n matrix.
HD constexpr int64_t packed_size(int64_t n) { return n * (n - 1) / 2; }
/// Where entry (row, col) with row < col lies in the strict upper triangle, row by row.
HD constexpr int64_t packed_index(int64_t n, int64_t row, int64_t col) {
  return row * n - row * (row + 1) / 2 + (col - row - 1);
}

}  // namespace lookback
