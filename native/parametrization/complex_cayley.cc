#include "parametrization/complex_cayley.h"

#include <Eigen/LU>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

using Parts = std::pair<std::vector<double>, std::vector<double>>;

/// The product of two n x n matrices in parts.
Parts product(int n, const Parts& a, const Parts& b, const Multiply& multiply) {
  const auto size = static_cast<size_t>(n) * static_cast<size_t>(n);
  Parts c{std::vector<double>(size), std::vector<double>(size)};
  std::vector<double> minus(a.second);
  for (double& entry : minus) entry = -entry;
  multiply({n, n, n, a.first.data(), n, 1, b.first.data(), n, 1, 0, c.first.data(), n});
  multiply({n, n, n, minus.data(), n, 1, b.second.data(), n, 1, 1, c.first.data(), n});
  multiply({n, n, n, a.first.data(), n, 1, b.second.data(), n, 1, 0, c.second.data(), n});
  multiply({n, n, n, a.second.data(), n, 1, b.first.data(), n, 1, 1, c.second.data(), n});
  return c;
}

/// (Y + Y^T) / 2; ERR_DATA where Y is not symmetric.
std::vector<double> require_symmetric(int n, const std::vector<double>& Y) {
  const auto size = static_cast<size_t>(n);
  std::vector<double> symmetric(Y.size());
  double largest = 0, worst = 0;
  size_t row = 0, col = 0;
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      const double apart = std::abs(Y[i * size + j] - Y[j * size + i]);
      largest = std::max(largest, std::abs(Y[i * size + j]));
      if (apart > worst) {
        worst = apart;
        row = i;
        col = j;
      }
      symmetric[i * size + j] = (Y[i * size + j] + Y[j * size + i]) / 2;
    }
  }
  REQUIRE(worst <= kSkewTolerance * largest, kData, "scurnn: A_im is not symmetric: entries [", row,
          ", ", col, "] and [", col, ", ", row, "] are ", Y[row * size + col], " and ",
          Y[col * size + row], " and differ by ", worst, "; expected 0. Give (A_im + A_im^T) / 2");
  return symmetric;
}

}  // namespace

void ScurnnWeights::build(const HostArrays& params, HostArrays&, HostArrays& derived,
                          const Multiply& multiply) {
  const std::vector<double> R = require_skew("scurnn: A_re", n_, params[0]),
                            Y = require_symmetric(n_, params[1]);
  const auto n = static_cast<size_t>(n_);
  Eigen::MatrixXcd sum(n_, n_);
  for (int i = 0; i < n_; ++i) {
    for (int j = 0; j < n_; ++j) {
      const auto at = static_cast<size_t>(i * n_ + j);
      sum(i, j) = {R[at] + (i == j ? 1 : 0), Y[at]};
    }
  }
  const Eigen::MatrixXcd inverse = sum.partialPivLu().inverse();
  REQUIRE(inverse.allFinite(), kNumeric,
          "scurnn, matrix W: I + A cannot be inverted in float64; the norm of I + A is ",
          sum.norm(), ". Lower the learning rate of A, or restore a checkpoint");
  Z_re_.resize(n * n);
  Z_im_.resize(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      const std::complex<double> z =
          2.0 * inverse(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(k)) -
          (i == k ? 1.0 : 0.0);
      const std::complex<double> w = z * std::polar(1.0, params[2][k]);
      Z_re_[i * n + k] = z.real();
      Z_im_[i * n + k] = z.imag();
      derived[0][i * n + k] = w.real();
      derived[1][i * n + k] = w.imag();
    }
  }
  W_re_ = derived[0];
  W_im_ = derived[1];
  watch(derived, multiply);
}

/// W is unitary where [W_re W_im; -W_im W_re] is orthogonal.
void ScurnnWeights::watch(const HostArrays& derived, const Multiply& multiply) {
  const auto n = static_cast<size_t>(n_);
  std::vector<double> expanded(4 * n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const double re = derived[0][i * n + j], im = derived[1][i * n + j];
      expanded[i * 2 * n + j] = expanded[(n + i) * 2 * n + n + j] = re;
      expanded[i * 2 * n + n + j] = im;
      expanded[(n + i) * 2 * n + j] = -im;
    }
  }
  watch_.look("scurnn", "W", 2 * n_, expanded, "A has grown too large: lower its learning rate",
              multiply);
}

void ScurnnWeights::adjoint(const HostArrays& params, const HostArrays& d_derived,
                            HostArrays& d_params, const Multiply& multiply) {
  const auto n = static_cast<size_t>(n_);
  const std::vector<double>&G_re = d_derived[0], &G_im = d_derived[1];
  Parts S{std::vector<double>(n * n), std::vector<double>(n * n)}, OmD = S;
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      const size_t at = i * n + k;
      S.first[at] = Z_re_[k * n + i] + (i == k ? 1 : 0);
      S.second[at] = Z_im_[k * n + i];
      const std::complex<double> entry =
          std::complex<double>(G_re[at] / 2, -G_im[at] / 2) * std::polar(1.0, params[2][k]);
      OmD.first[at] = entry.real();
      OmD.second[at] = entry.imag();
      d_params[2][k] += G_im[at] * W_re_[at] - G_re[at] * W_im_[at];
    }
  }
  const Parts C = product(n_, product(n_, S, OmD, multiply), S, multiply);  // twice C
  const double off_diagonal = free_gradient_ ? 1 : 0.5;
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = i + 1; k < n; ++k) {
      const double re = off_diagonal * (C.first[k * n + i] - C.first[i * n + k]);
      const double im = off_diagonal * (C.second[k * n + i] + C.second[i * n + k]);
      d_params[0][i * n + k] += re;
      d_params[0][k * n + i] -= re;
      d_params[1][i * n + k] += im;
      d_params[1][k * n + i] += im;
    }
    d_params[1][i * n + i] += C.second[i * n + i];
  }
}

}  // namespace lookback
