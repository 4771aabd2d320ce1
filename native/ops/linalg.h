/// Dense linear algebra off the hot path.
#pragma once

#include <cstdint>

namespace lookback {

/// Turns a matrix of independent normal numbers into one whose columns (rows, where there are
/// fewer) are orthonormal, uniformly distributed: Householder QR, signs fixed by the diagonal of R.
/// matrix  in/out  [rows, cols] row-major
/// Cost: O(rows * cols * min(rows, cols)).
void orthogonalise(int64_t rows, int64_t cols, double* matrix);

}  // namespace lookback
