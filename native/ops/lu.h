/// Linear systems with one dense matrix, in blocks: nearly all of the work is products on the
/// device's threads, which look at the cancel flag between their parts.
#pragma once

#include <vector>

#include "ops/multiply.h"

namespace lookback {

/// P A = L U with rows exchanged for the largest pivots of their column. Its memory is that of the
/// largest matrix so far: systems of a known size ask for none.
class BlockedLu {
 public:
  /// A  in  [n, n] row-major. Where it is singular, `solve` gives numbers that are not finite.
  void factor(int n, const double* A, const Multiply& multiply);
  /// B := A^{-1} B.
  /// B  in/out  [n, columns] row-major
  void solve(int columns, double* B, const Multiply& multiply);
  /// B := A^{-T} B.
  void solve_transposed(int columns, double* B, const Multiply& multiply);

 private:
  /// How an array is read: as it is, or transposed.
  enum class View { kPlain, kTransposed };

  int rows_of(int begin) const;
  double* inverse_at(std::vector<double>& inverses, int begin) const;
  void factor_panel(int begin, int rows);
  void invert_diagonal(int begin, int rows);
  void apply_diagonal(const double* inverse, View view, int begin, int columns, int stride,
                      double* B, const Multiply& multiply);
  void exchange_rows(int columns, double* B, int i) const;
  void solve_triangles(View view, int columns, double* B, const Multiply& multiply);

  int n_ = 0;
  std::vector<double> lu_;             ///< L below the diagonal, of ones, and U
  std::vector<int> pivots_;            ///< the row that row i changed places with
  std::vector<double> lower_, upper_;  ///< inverses of the diagonal's blocks of L and of U
  std::vector<double> block_;          ///< minus a block row of the solution
};

}  // namespace lookback
