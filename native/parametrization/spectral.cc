#include "parametrization/spectral.h"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

using RealMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ComplexVector = Eigen::VectorXcd;

constexpr double kTie = 1e-9;
constexpr double kResidual = 1e-10;
constexpr int kFollowSteps = 6;
/// What the way of the dominant eigenvalue takes off the gap: the runner-up may come towards it
/// three times as fast.
constexpr double kGapShare = 4;

ComplexVector vector_of(const std::vector<Complex>& values) {
  return Eigen::Map<const ComplexVector>(values.data(), static_cast<Eigen::Index>(values.size()));
}

std::vector<Complex> values_of(const ComplexVector& vector) {
  return {vector.data(), vector.data() + vector.size()};
}

/// Both residuals, in units of the norm of T.
double residual(const RealMatrix& T, Complex lambda, const ComplexVector& u,
                const ComplexVector& v) {
  const double right = (T * u - lambda * u).norm();
  const double left = (T.transpose() * v - std::conj(lambda) * v).norm();
  return std::max(right, left) / T.norm();
}

/// One step of inverse iteration for both vectors. False where the solution overflows.
bool iterate(const RealMatrix& T, Complex shift, ComplexVector& u, ComplexVector& v) {
  // Some roundings away from the eigenvalue, so that no pivot is exactly zero; farther where one
  // is all the same.
  for (double away = 4e-16; away < 1e-12; away *= 16) {
    Eigen::MatrixXcd shifted = T.cast<Complex>();
    shifted.diagonal().array() -= shift + Complex(away * T.norm(), 0);
    const Eigen::PartialPivLU<Eigen::MatrixXcd> lu(shifted);
    const ComplexVector right = lu.solve(u), left = lu.adjoint().solve(v);
    if (!right.allFinite() || !left.allFinite()) continue;
    u = right.normalized();
    v = left.normalized();
    return true;
  }
  return false;
}

/// v^H T u / (v^H u), or the fallback where the vectors are orthogonal.
Complex rayleigh_quotient(const RealMatrix& T, const ComplexVector& u, const ComplexVector& v,
                          Complex fallback) {
  const Complex product = v.dot(u);
  return std::abs(product) < 1e-8 ? fallback : Complex(v.dot(T * u)) / product;
}

/// Whether a should be chosen over b.
bool comes_first(Complex a, Complex b) {
  if (std::abs(std::abs(a) - std::abs(b)) > kTie * std::max(std::abs(a), std::abs(b)))
    return std::abs(a) > std::abs(b);
  return a.imag() != b.imag() ? a.imag() > b.imag() : a.real() > b.real();
}

/// The position of the dominant eigenvalue; `gap` to the largest of those that are not its partner.
Eigen::Index choose(const ComplexVector& values, double& gap) {
  Eigen::Index first = 0;
  for (Eigen::Index i = 1; i < values.size(); ++i)
    if (comes_first(values[i], values[first])) first = i;
  const double radius = std::abs(values[first]);
  double other = 0;
  bool partner = values[first].imag() == 0;
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    if (i == first) continue;
    if (!partner && values[i] == std::conj(values[first])) {
      partner = true;
      continue;
    }
    other = std::max(other, std::abs(values[i]));
  }
  gap = radius > 0 ? 1 - other / radius : 0;
  return first;
}

void keep(Complex lambda, ComplexVector u, ComplexVector v, Dominant& pair) {
  if (lambda.imag() < 0) {
    lambda = std::conj(lambda);
    u = u.conjugate().eval();
    v = v.conjugate().eval();
  }
  pair.lambda = lambda;
  pair.u = values_of(u);
  pair.v = values_of(v);
}

}  // namespace

double Dominant::cosine() const {
  const ComplexVector right = vector_of(u), left = vector_of(v);
  const double lengths = right.norm() * left.norm();
  return lengths > 0 ? std::abs(left.dot(right)) / lengths : 0;
}

Dominant solve_dominant(const std::string& owner, int n, const std::vector<double>& T) {
  const Eigen::Map<const RealMatrix> mapped(T.data(), n, n);
  const RealMatrix matrix = mapped;
  Dominant pair;
  const Eigen::EigenSolver<Eigen::MatrixXd> solver(matrix, false);
  REQUIRE(solver.info() == Eigen::Success, kNumeric, owner,
          ": its eigenvalues did not converge; its norm is ", matrix.norm(),
          ". Restore a checkpoint, or lower the learning rate");
  const ComplexVector values = solver.eigenvalues();
  const Complex lambda = values[choose(values, pair.gap)];
  // A start that no symmetry of T makes orthogonal to the vector wanted.
  ComplexVector u(n), v(n);
  for (int i = 0; i < n; ++i) u[i] = v[i] = Complex(1 + 0.1 * std::sin(1.0 + i), 0.1 * std::cos(i));
  if (lambda.imag() == 0) u = v = u.real().cast<Complex>().eval();
  if (matrix.norm() == 0) {
    u.normalize();
    v.normalize();
    keep(lambda, u, v, pair);
    return pair;
  }
  bool found = true;
  for (int step = 0; step < 3 && found; ++step) found = iterate(matrix, lambda, u, v);
  const double error = found ? residual(matrix, lambda, u, v) : 1;
  REQUIRE(error <= kResidual, kNumeric, owner, ": the eigenvectors of ", lambda.real(), " + ",
          lambda.imag(), "i did not converge; their residual is ", error, ", expected at most ",
          kResidual, ". Restore a checkpoint, or lower the learning rate");
  keep(rayleigh_quotient(matrix, u, v, lambda), u, v, pair);
  return pair;
}

bool follow_dominant(int n, const std::vector<double>& T, Dominant& pair) {
  const Eigen::Map<const RealMatrix> mapped(T.data(), n, n);
  const RealMatrix matrix = mapped;
  const Complex before = pair.lambda;
  ComplexVector u = vector_of(pair.u), v = vector_of(pair.v);
  Complex lambda = rayleigh_quotient(matrix, u, v, before);
  const bool real = before.imag() == 0;
  for (int step = 0; step < kFollowSteps; ++step) {
    if (!iterate(matrix, lambda, u, v)) return false;
    lambda = rayleigh_quotient(matrix, u, v, lambda);
    if (residual(matrix, lambda, u, v) > 1e-14 * n) continue;
    // Where a pair meets on the real axis, or leaves it, the runner-up is another one.
    const bool near = std::abs(lambda - before) <= pair.gap / 2 * std::abs(before);
    const bool is_real = std::abs(lambda.imag()) <= 1e-8 * std::abs(lambda);
    if (!near || is_real != real) return false;
    pair.gap -= kGapShare * std::abs(lambda - before) / std::abs(lambda);
    keep(lambda, u, v, pair);
    return true;
  }
  return false;
}

std::vector<double> radius_gradient(int n, const Dominant& pair) {
  const ComplexVector u = vector_of(pair.u), v = vector_of(pair.v);
  const Complex factor = std::conj(pair.lambda) / (v.dot(u) * pair.radius());
  std::vector<double> gradient(static_cast<size_t>(n) * static_cast<size_t>(n));
  Eigen::Map<RealMatrix>(gradient.data(), n, n) = (factor * v.conjugate() * u.transpose()).real();
  return gradient;
}

}  // namespace lookback
