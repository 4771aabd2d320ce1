#include "parametrization/complex_cayley.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "base/error.h"

namespace lookback {
namespace {

/// symmetric becomes (Y + Y^T) / 2; ERR_DATA where Y is not symmetric.
void require_symmetric(int n, const std::vector<double>& Y, std::vector<double>& symmetric) {
  const auto size = static_cast<size_t>(n);
  symmetric.resize(Y.size());
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
}

/// matrix becomes [re -im; im re], 2n x 2n.
void expand(size_t n, const std::vector<double>& re, const std::vector<double>& im,
            std::vector<double>& matrix) {
  matrix.resize(4 * n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const double real = re[i * n + j], imaginary = im[i * n + j];
      matrix[i * 2 * n + j] = matrix[(n + i) * 2 * n + n + j] = real;
      matrix[i * 2 * n + n + j] = -imaginary;
      matrix[(n + i) * 2 * n + j] = imaginary;
    }
  }
}

const std::string kTitle = "scurnn: A_re";

}  // namespace

/// to = a b.
void ScurnnWeights::product(const Parts& a, const Parts& b, Parts& to, const Multiply& multiply) {
  const int n = n_;
  to.resize(a.re.size());
  minus_.resize(a.im.size());
  std::transform(a.im.begin(), a.im.end(), minus_.begin(), [](double entry) { return -entry; });
  multiply({n, n, n, a.re.data(), n, 1, b.re.data(), n, 1, 0, to.re.data(), n});
  multiply({n, n, n, minus_.data(), n, 1, b.im.data(), n, 1, 1, to.re.data(), n});
  multiply({n, n, n, a.re.data(), n, 1, b.im.data(), n, 1, 0, to.im.data(), n});
  multiply({n, n, n, a.im.data(), n, 1, b.re.data(), n, 1, 1, to.im.data(), n});
}

void ScurnnWeights::build(const HostArrays& params, HostArrays&, HostArrays& derived,
                          const Multiply& multiply) {
  require_skew(kTitle, n_, params[0], skew_);
  require_symmetric(n_, params[1], symmetric_);
  const auto n = static_cast<size_t>(n_);
  for (size_t i = 0; i < n; ++i) skew_[i * n + i] += 1;
  expand(n, skew_, symmetric_, expanded_);
  // Its inverse has the same form, so that the first n columns are all of it.
  solution_.assign(2 * n * n, 0.0);
  for (size_t i = 0; i < n; ++i) solution_[i * n + i] = 2;
  lu_.factor(2 * n_, expanded_.data(), multiply);
  lu_.solve(n_, solution_.data(), multiply);
  if (!std::all_of(solution_.begin(), solution_.end(),
                   [](double entry) { return std::isfinite(entry); })) {
    double squares = 0;
    for (const double entry : skew_) squares += entry * entry;
    for (const double entry : symmetric_) squares += entry * entry;
    fail(ErrorCode::kNumeric,
         text("scurnn, matrix W: I + A cannot be inverted in float64; the norm of I + A is ",
              std::sqrt(squares), ". Lower the learning rate of A, or restore a checkpoint"));
  }
  Z_.resize(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      const size_t at = i * n + k;
      const std::complex<double> z(solution_[at] - (i == k ? 1.0 : 0.0), solution_[n * n + at]);
      const std::complex<double> w = z * std::polar(1.0, params[2][k]);
      Z_.re[at] = z.real();
      Z_.im[at] = z.imag();
      derived[0][at] = w.real();
      derived[1][at] = w.imag();
    }
  }
  W_.re = derived[0];
  W_.im = derived[1];
  if (watch_.due()) watch(derived, multiply);
}

/// W is unitary where [W_re -W_im; W_im W_re] is orthogonal.
void ScurnnWeights::watch(const HostArrays& derived, const Multiply& multiply) {
  expand(static_cast<size_t>(n_), derived[0], derived[1], expanded_);
  watch_.look("scurnn", "W", 2 * n_, expanded_, "A has grown too large: lower its learning rate",
              multiply);
}

void ScurnnWeights::adjoint(const HostArrays& params, const HostArrays& d_derived,
                            HostArrays& d_params, const Multiply& multiply) {
  const auto n = static_cast<size_t>(n_);
  const std::vector<double>&G_re = d_derived[0], &G_im = d_derived[1];
  S_.resize(n * n);
  OmD_.resize(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      const size_t at = i * n + k;
      S_.re[at] = Z_.re[k * n + i] + (i == k ? 1 : 0);
      S_.im[at] = Z_.im[k * n + i];
      const std::complex<double> entry =
          std::complex<double>(G_re[at] / 2, -G_im[at] / 2) * std::polar(1.0, params[2][k]);
      OmD_.re[at] = entry.real();
      OmD_.im[at] = entry.imag();
      d_params[2][k] += G_im[at] * W_.re[at] - G_re[at] * W_.im[at];
    }
  }
  product(S_, OmD_, SOmD_, multiply);
  product(SOmD_, S_, C_, multiply);  // twice C
  const double off_diagonal = free_gradient_ ? 1 : 0.5;
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = i + 1; k < n; ++k) {
      const double re = off_diagonal * (C_.re[k * n + i] - C_.re[i * n + k]);
      const double im = off_diagonal * (C_.im[k * n + i] + C_.im[i * n + k]);
      d_params[0][i * n + k] += re;
      d_params[0][k * n + i] -= re;
      d_params[1][i * n + k] += im;
      d_params[1][k * n + i] += im;
    }
    d_params[1][i * n + i] += C_.im[i * n + i];
  }
}

}  // namespace lookback
