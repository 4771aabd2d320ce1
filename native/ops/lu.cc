#include "ops/lu.h"

#include <algorithm>
#include <cmath>

namespace lookback {
namespace {

/// Rows and columns of a block. What is no product, the panels and the blocks on the diagonal, is
/// n^2 kBlock multiply-adds of n^3.
constexpr int kBlock = 48;

/// y -= factor x.
void subtract(int64_t count, double factor, const double* x, double* y) {
  for (int64_t j = 0; j < count; ++j) y[j] -= factor * x[j];
}

}  // namespace

int BlockedLu::rows_of(int begin) const { return std::min(kBlock, n_ - begin); }

double* BlockedLu::inverse_at(std::vector<double>& inverses, int begin) const {
  return inverses.data() + int64_t{begin} * kBlock;
}

void BlockedLu::factor(int n, const double* A, const Multiply& multiply) {
  n_ = n;
  const auto size = static_cast<size_t>(n);
  lu_.assign(A, A + size * size);
  pivots_.resize(size);
  const size_t blocks = (size + kBlock - 1) / kBlock * kBlock * kBlock;
  lower_.resize(blocks);
  upper_.resize(blocks);
  block_.resize(std::max(block_.size(), size * kBlock));
  for (int begin = 0; begin < n; begin += kBlock) {
    const int rows = rows_of(begin), rest = n - begin - rows;
    factor_panel(begin, rows);
    invert_diagonal(begin, rows);
    if (rest == 0) break;
    double* const right =
        &lu_[size * static_cast<size_t>(begin) + static_cast<size_t>(begin + rows)];
    double* const below = right + int64_t{rows} * n;
    apply_diagonal(inverse_at(lower_, begin), View::kPlain, begin, rest, n, right, multiply);
    multiply({rest, rest, rows, below - rows, n, 1, block_.data(), rest, 1, 1, below, n});
  }
}

/// Columns [begin, begin + rows) of everything from row `begin` on. Exchanges whole rows.
void BlockedLu::factor_panel(int begin, int rows) {
  const int64_t n = n_;
  double* const lu = lu_.data();
  for (int j = begin; j < begin + rows; ++j) {
    int pivot = j;
    for (int i = j + 1; i < n_; ++i)
      if (std::abs(lu[i * n + j]) > std::abs(lu[pivot * n + j])) pivot = i;
    pivots_[static_cast<size_t>(j)] = pivot;
    if (pivot != j) std::swap_ranges(lu + j * n, lu + (j + 1) * n, lu + pivot * n);
    const double* const top = lu + j * n;
    for (int i = j + 1; i < n_; ++i) {
      double* const row = lu + i * n;
      row[j] /= top[j];
      subtract(begin + rows - j - 1, row[j], top + j + 1, row + j + 1);
    }
  }
}

/// Row i of an inverse of a triangle comes from the rows that it is eliminated with.
void BlockedLu::invert_diagonal(int begin, int rows) {
  const int64_t n = n_;
  const double* const lu = &lu_[static_cast<size_t>(begin * n + begin)];
  double* const lower = inverse_at(lower_, begin);
  double* const upper = inverse_at(upper_, begin);
  std::fill_n(lower, int64_t{rows} * rows, 0.0);
  std::fill_n(upper, int64_t{rows} * rows, 0.0);
  for (int i = 0; i < rows; ++i) {
    lower[i * rows + i] = 1;
    for (int k = 0; k < i; ++k) subtract(i, lu[i * n + k], lower + k * rows, lower + i * rows);
  }
  for (int i = rows - 1; i >= 0; --i) {
    double* const row = upper + i * rows;
    row[i] = 1;
    for (int k = i + 1; k < rows; ++k)
      subtract(rows - i, lu[i * n + k], upper + k * rows + i, row + i);
    for (int j = i; j < rows; ++j) row[j] /= lu[i * n + i];
  }
}

/// The block row B of `columns` columns, `stride` apart, is multiplied by an inverse; block_ is
/// then minus the result.
void BlockedLu::apply_diagonal(const double* inverse, View view, int begin, int columns, int stride,
                               double* B, const Multiply& multiply) {
  const int rows = rows_of(begin);
  const bool plain = view == View::kPlain;
  multiply({rows, columns, rows, inverse, plain ? rows : 1, plain ? 1 : rows, B, stride, 1, 0,
            block_.data(), columns});
  for (int64_t i = 0; i < rows; ++i) {
    double* const from = block_.data() + i * columns;
    double* const to = B + i * stride;
    for (int64_t j = 0; j < columns; ++j) {
      to[j] = from[j];
      from[j] = -from[j];
    }
  }
}

/// With L and then U, or with U^T, which is a lower triangle, and then L^T.
void BlockedLu::solve_triangles(View view, int columns, double* B, const Multiply& multiply) {
  const bool plain = view == View::kPlain;
  std::vector<double>&lower = plain ? lower_ : upper_, &upper = plain ? upper_ : lower_;
  const int64_t n = n_, row = plain ? n : 1, column = plain ? 1 : n;
  block_.resize(std::max(block_.size(), static_cast<size_t>(columns) * kBlock));
  for (int begin = 0; begin < n_; begin += kBlock) {
    const int rows = rows_of(begin), end = begin + rows;
    double* const block = B + int64_t{begin} * columns;
    apply_diagonal(inverse_at(lower, begin), view, begin, columns, columns, block, multiply);
    if (end == n_) break;
    const double* const below = lu_.data() + end * row + begin * column;
    multiply({n_ - end, columns, rows, below, row, column, block_.data(), columns, 1, 1,
              B + int64_t{end} * columns, columns});
  }
  for (int begin = (n_ - 1) / kBlock * kBlock; begin >= 0; begin -= kBlock) {
    double* const block = B + int64_t{begin} * columns;
    apply_diagonal(inverse_at(upper, begin), view, begin, columns, columns, block, multiply);
    if (begin == 0) break;
    const double* const above = lu_.data() + begin * column;
    multiply({begin, columns, rows_of(begin), above, row, column, block_.data(), columns, 1, 1, B,
              columns});
  }
}

void BlockedLu::solve(int columns, double* B, const Multiply& multiply) {
  for (int i = 0; i < n_; ++i) exchange_rows(columns, B, i);
  solve_triangles(View::kPlain, columns, B, multiply);
}

void BlockedLu::solve_transposed(int columns, double* B, const Multiply& multiply) {
  solve_triangles(View::kTransposed, columns, B, multiply);
  for (int i = n_ - 1; i >= 0; --i) exchange_rows(columns, B, i);
}

void BlockedLu::exchange_rows(int columns, double* B, int i) const {
  const int other = pivots_[static_cast<size_t>(i)];
  double* const row = B + int64_t{i} * columns;
  if (other != i) std::swap_ranges(row, row + columns, B + int64_t{other} * columns);
}

}  // namespace lookback
