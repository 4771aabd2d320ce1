#include "parametrization/exponential.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <complex>

#include "base/error.h"

namespace lookback {
namespace {

/// How an operand of `product` is read.
enum Side { kPlain, kTransposed };

/// to = (to +) a b for n x n matrices, on the device's threads.
void product(int n, const std::vector<double>& a, Side a_side, const std::vector<double>& b,
             Side b_side, bool add, std::vector<double>& to, const Multiply& multiply) {
  Gemm<double> g{n, n, n};
  g.a = a.data();
  g.a_row = a_side == kPlain ? n : 1;
  g.a_col = a_side == kPlain ? 1 : n;
  g.b = b.data();
  g.b_row = b_side == kPlain ? n : 1;
  g.b_col = b_side == kPlain ? 1 : n;
  g.beta = add ? 1 : 0;
  g.c = to.data();
  g.c_row = n;
  multiply(g);
}

double sinc(double x) { return std::abs(x) < 1e-4 ? 1 - x * x / 6 : std::sin(x) / x; }

}  // namespace

std::vector<double> SkewExponential::build(const std::string& owner, int n,
                                           const std::vector<double>& A, const Multiply& multiply) {
  n_ = n;
  const auto size = static_cast<size_t>(n);
  std::vector<double> result(size * size);
  zero_ = std::all_of(A.begin(), A.end(), [](double entry) { return entry == 0; });
  if (zero_) {
    for (size_t i = 0; i < size; ++i) result[i * size + i] = 1;
    return result;
  }
  Eigen::MatrixXcd hermitian(n, n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j)
      hermitian(i, j) = std::complex<double>(0, -A[static_cast<size_t>(i * n + j)]);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXcd> solver(hermitian);
  REQUIRE(solver.info() == Eigen::Success, kNumeric, owner,
          ": the eigenvectors of A did not converge; its norm is ", hermitian.norm(),
          ". Restore a checkpoint, or lower the learning rate");
  mu_.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + n);
  real_.resize(size * size);
  imaginary_.resize(size * size);
  std::vector<double> turned_real(size * size), turned_imaginary(size * size);
  for (size_t i = 0; i < size; ++i) {
    for (size_t k = 0; k < size; ++k) {
      const std::complex<double> q =
          solver.eigenvectors()(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(k));
      const std::complex<double> turned = q * std::polar(1.0, mu_[k]);
      real_[i * size + k] = q.real();
      imaginary_[i * size + k] = q.imag();
      turned_real[i * size + k] = turned.real();
      turned_imaginary[i * size + k] = turned.imag();
    }
  }
  product(n, turned_real, kPlain, real_, kTransposed, false, result, multiply);
  product(n, turned_imaginary, kPlain, imaginary_, kTransposed, true, result, multiply);
  return result;
}

std::vector<double> SkewExponential::adjoint(const std::vector<double>& H,
                                             const Multiply& multiply) const {
  if (zero_) return H;
  const auto size = static_cast<size_t>(n_);
  std::vector<double> a(size * size), b(size * size), minus(imaginary_), real(size * size),
      imaginary(size * size);
  for (double& entry : minus) entry = -entry;
  const auto multiply_into = [&](const std::vector<double>& left, Side left_side,
                                 const std::vector<double>& right, Side right_side, bool add,
                                 std::vector<double>& to) {
    product(n_, left, left_side, right, right_side, add, to, multiply);
  };
  // M = Q^H (H Q), with H Q = a + i b and Q^H = real^T - i imaginary^T.
  multiply_into(H, kPlain, real_, kPlain, false, a);
  multiply_into(H, kPlain, imaginary_, kPlain, false, b);
  multiply_into(real_, kTransposed, a, kPlain, false, real);
  multiply_into(imaginary_, kTransposed, b, kPlain, true, real);
  multiply_into(real_, kTransposed, b, kPlain, false, imaginary);
  multiply_into(minus, kTransposed, a, kPlain, true, imaginary);
  for (size_t j = 0; j < size; ++j) {
    for (size_t k = 0; k < size; ++k) {
      const std::complex<double> F =
          std::polar(1.0, (mu_[j] + mu_[k]) / 2) * sinc((mu_[j] - mu_[k]) / 2);
      const size_t at = j * size + k;
      const std::complex<double> M = std::conj(F) * std::complex<double>(real[at], imaginary[at]);
      real[at] = M.real();
      imaginary[at] = M.imag();
    }
  }
  // Re((Q M) Q^H), with Q M = a + i b.
  multiply_into(real_, kPlain, real, kPlain, false, a);
  multiply_into(minus, kPlain, imaginary, kPlain, true, a);
  multiply_into(real_, kPlain, imaginary, kPlain, false, b);
  multiply_into(imaginary_, kPlain, real, kPlain, true, b);
  std::vector<double> X(size * size);
  multiply_into(a, kPlain, real_, kTransposed, false, X);
  multiply_into(b, kPlain, imaginary_, kTransposed, true, X);
  return X;
}

}  // namespace lookback
