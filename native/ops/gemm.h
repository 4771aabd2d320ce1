/// The description of a matrix product; the backends compute it.
#pragma once

#include <cstdint>

namespace lookback {

/// C[m,n] = beta C[m,n] + sum_k A(m,k) B(k,n), every element summed over k in one fixed order that
/// depends neither on m, n nor on the number of threads. A(i,j) is a[i * a_row + j * a_col],
/// likewise B.
template <class S>
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const S* a = nullptr;
  int64_t a_row = 0, a_col = 1;
  const S* b = nullptr;
  int64_t b_row = 0, b_col = 1;
  S beta = S(0);
  S* c = nullptr;
  int64_t c_row = 0;
  /// The order may depend on m and n too, so that a device may use its maker's library: for
  /// products of training. What inference computes must not depend on the size of the batch.
  bool any_order = false;
};

}  // namespace lookback
