#include "parametrization/cayley.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

/// A watched W that is worse than this is no longer orthogonal in any useful sense.
constexpr double kOrthogonalityBound = 1e-3;

}  // namespace

void unpack_skew(int n, const std::vector<double>& packed, std::vector<double>& A) {
  A.resize(static_cast<size_t>(n) * static_cast<size_t>(n));
  size_t at = 0;
  for (int i = 0; i < n; ++i) {
    A[static_cast<size_t>(i * n + i)] = 0;
    for (int j = i + 1; j < n; ++j, ++at) {
      A[static_cast<size_t>(i * n + j)] = packed[at];
      A[static_cast<size_t>(j * n + i)] = -packed[at];
    }
  }
}

void require_skew(const std::string& owner, int n, const std::vector<double>& A,
                  std::vector<double>& skew) {
  skew.resize(A.size());
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
}

const std::vector<double>& CayleyTransform::build(const std::string& owner, int n,
                                                  const std::vector<double>& A,
                                                  const Multiply& multiply) {
  n_ = n;
  const auto size = static_cast<size_t>(n);
  S_ = A;
  Z_.assign(A.size(), 0.0);
  for (size_t i = 0; i < size; ++i) {
    S_[i * size + i] += 1;
    Z_[i * size + i] = 2;
  }
  lu_.factor(n, S_.data(), multiply);
  lu_.solve(n, Z_.data(), multiply);
  for (size_t i = 0; i < size; ++i) Z_[i * size + i] -= 1;
  if (!std::all_of(Z_.begin(), Z_.end(), [](double entry) { return std::isfinite(entry); })) {
    double squares = 0;
    for (const double entry : A) squares += entry * entry;
    fail(ErrorCode::kNumeric,
         text(owner, ": I + A cannot be inverted in float64; the norm of A is ", std::sqrt(squares),
              ". Lower the learning rate of A, or restore a checkpoint"));
  }
  return Z_;
}

const std::vector<double>& CayleyTransform::adjoint(const std::vector<double>& H,
                                                    const Multiply& multiply) {
  const int n = n_;
  const auto size = static_cast<size_t>(n);
  S_.resize(Z_.size());
  SH_.resize(Z_.size());
  V_.resize(Z_.size());
  for (size_t i = 0; i < size; ++i)
    for (size_t j = 0; j < size; ++j) S_[i * size + j] = Z_[j * size + i] + (i == j ? 1 : 0);
  multiply({n, n, n, S_.data(), n, 1, H.data(), n, 1, 0, SH_.data(), n});
  multiply({n, n, n, SH_.data(), n, 1, S_.data(), n, 1, 0, V_.data(), n});
  for (double& entry : V_) entry /= 2;
  return V_;
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

double orthogonality_error(int n, const std::vector<double>& W, std::vector<double>& product,
                           const Multiply& multiply) {
  product.resize(W.size());
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

double orthogonality_error(int n, const std::vector<double>& W, const Multiply& multiply) {
  std::vector<double> product;
  return orthogonality_error(n, W, product, multiply);
}

void OrthogonalityWatch::look(const char* owner, const char* matrix, int n,
                              const std::vector<double>& W, const char* advice,
                              const Multiply& multiply) {
  const double error = orthogonality_error(n, W, product_, multiply);
  REQUIRE(error <= kOrthogonalityBound, kNumeric, owner, ", matrix ", matrix, ": max|", matrix,
          "^T ", matrix, " - I| is ", error, "; expected at most ", kOrthogonalityBound, ". ",
          advice);
}

}  // namespace lookback
