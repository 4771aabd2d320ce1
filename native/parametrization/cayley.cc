#include "parametrization/cayley.h"

#include <Eigen/LU>
#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A watched W that is worse than this is no longer orthogonal in any useful sense.
constexpr double kOrthogonalityBound = 1e-3;
constexpr int kBuildsPerLook = 100;

}  // namespace

std::vector<double> unpack_skew(int n, const std::vector<double>& packed) {
  std::vector<double> A(static_cast<size_t>(n) * static_cast<size_t>(n));
  size_t at = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j, ++at) {
      A[static_cast<size_t>(i * n + j)] = packed[at];
      A[static_cast<size_t>(j * n + i)] = -packed[at];
    }
  }
  return A;
}

std::vector<double> require_skew(const std::string& owner, int n, const std::vector<double>& A) {
  std::vector<double> skew(A.size());
  double largest = 0, worst = 0;
  int row = 0, col = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = i; j < n; ++j) {
      const double upper = A[static_cast<size_t>(i * n + j)],
                   lower = A[static_cast<size_t>(j * n + i)];
      largest = std::max({largest, std::abs(upper), std::abs(lower)});
      if (std::abs(upper + lower) > worst) {
        worst = std::abs(upper + lower);
        row = i;
        col = j;
      }
      skew[static_cast<size_t>(i * n + j)] = (upper - lower) / 2;
      skew[static_cast<size_t>(j * n + i)] = (lower - upper) / 2;
    }
  }
  REQUIRE(worst <= kSkewTolerance * largest, kData, owner, " is not skew-symmetric: entries [", row,
          ", ", col, "] and [", col, ", ", row, "] are ", A[static_cast<size_t>(row * n + col)],
          " and ", A[static_cast<size_t>(col * n + row)], " and their sum is ", worst,
          "; expected 0. Give (A - A^T) / 2");
  return skew;
}

std::vector<double> cayley(const std::string& owner, int n, const std::vector<double>& A) {
  Matrix sum = Eigen::Map<const Matrix>(A.data(), n, n);
  sum.diagonal().array() += 1;
  std::vector<double> result(A.size());
  Eigen::Map<Matrix> Z(result.data(), n, n);
  Z = 2 * sum.partialPivLu().inverse();
  Z.diagonal().array() -= 1;
  if (!Z.allFinite()) {
    fail(ErrorCode::kNumeric,
         text(owner, ": I + A cannot be inverted in float64; the norm of A is ",
              Eigen::Map<const Matrix>(A.data(), n, n).norm(),
              ". Lower the learning rate of A, or restore a checkpoint"));
  }
  return result;
}

std::vector<double> cayley_adjoint(int n, const std::vector<double>& Z,
                                   const std::vector<double>& H, const Multiply& multiply) {
  const auto size = static_cast<size_t>(n);
  std::vector<double> S(size * size), SH(size * size), V(size * size);
  for (size_t i = 0; i < size; ++i)
    for (size_t j = 0; j < size; ++j) S[i * size + j] = Z[j * size + i] + (i == j ? 1 : 0);
  multiply({n, n, n, S.data(), n, 1, H.data(), n, 1, 0, SH.data(), n});
  multiply({n, n, n, SH.data(), n, 1, S.data(), n, 1, 0, V.data(), n});
  for (double& entry : V) entry /= 2;
  return V;
}

void add_skew_gradient(int n, const std::vector<double>& V, double scale, bool packed,
                       std::vector<double>& to) {
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j) {
      const double entry =
          scale * (V[static_cast<size_t>(j * n + i)] - V[static_cast<size_t>(i * n + j)]);
      if (packed) {
        to[static_cast<size_t>(packed_index(n, i, j))] += entry;
      } else {
        to[static_cast<size_t>(i * n + j)] += entry;
        to[static_cast<size_t>(j * n + i)] -= entry;
      }
    }
  }
}

double orthogonality_error(int n, const std::vector<double>& W, const Multiply& multiply) {
  std::vector<double> product(W.size());
  multiply({n, n, n, W.data(), 1, n, W.data(), n, 1, 0, product.data(), n});
  double worst = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const double off = std::abs(product[static_cast<size_t>(i * n + j)] - (i == j ? 1 : 0));
      if (!(off <= worst)) worst = off;
    }
  }
  return worst;
}

void OrthogonalityWatch::look(const std::string& owner, const std::string& matrix, int n,
                              const std::vector<double>& W, const std::string& advice,
                              const Multiply& multiply) {
  if (builds_++ % kBuildsPerLook != 0) return;
  const double error = orthogonality_error(n, W, multiply);
  REQUIRE(error <= kOrthogonalityBound, kNumeric, owner, ", matrix ", matrix, ": max|", matrix,
          "^T ", matrix, " - I| is ", error, "; expected at most ", kOrthogonalityBound, ". ",
          advice);
}

}  // namespace lookback
