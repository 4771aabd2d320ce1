#include "parametrization/spectral.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/lu.h"

namespace lookback {
namespace {

using Vector = std::vector<Complex>;

constexpr double kTie = 1e-9;
constexpr double kResidual = 1e-10;
constexpr int kFollowSteps = 6;
/// What the way of the dominant eigenvalue takes off the gap: the runner-up may come towards it
/// three times as fast.
constexpr double kGapShare = 4;

/// a^H b.
Complex dot(const Vector& a, const Vector& b) {
  Complex sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::conj(a[i]) * b[i];
  return sum;
}

double length(const Vector& a) { return std::sqrt(dot(a, a).real()); }

void normalize(Vector& a) {
  const double size = length(a);
  for (Complex& entry : a) entry /= size;
}

double norm_of(const std::vector<double>& T) {
  double squares = 0;
  for (const double entry : T) squares += entry * entry;
  return std::sqrt(squares);
}

/// T x.
void times(const std::vector<double>& T, const Vector& x, Vector& to) {
  const size_t n = x.size();
  to.assign(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) to[i] += T[i * n + j] * x[j];
}

/// T^T x.
void transposed_times(const std::vector<double>& T, const Vector& x, Vector& to) {
  const size_t n = x.size();
  to.assign(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) to[j] += T[i * n + j] * x[i];
}

/// || y - lambda x ||
double distance(const Vector& y, Complex lambda, const Vector& x) {
  double squares = 0;
  for (size_t i = 0; i < x.size(); ++i) squares += std::norm(y[i] - lambda * x[i]);
  return std::sqrt(squares);
}

/// Whether a should be chosen over b.
bool comes_first(Complex a, Complex b) {
  if (std::abs(std::abs(a) - std::abs(b)) > kTie * std::max(std::abs(a), std::abs(b)))
    return std::abs(a) > std::abs(b);
  return a.imag() != b.imag() ? a.imag() > b.imag() : a.real() > b.real();
}

/// The dominant eigenvalue; `gap` to the largest of those that are not its partner.
Complex choose(const Eigen::VectorXcd& values, double& gap) {
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
  return values[first];
}

/// A start that no symmetry of T makes orthogonal to the vector wanted.
void begin(int n, bool real, Vector& x) {
  x.resize(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i)
    x[static_cast<size_t>(i)] = Complex(1 + 0.1 * std::sin(1.0 + i), real ? 0 : 0.1 * std::cos(i));
}

/// The pair with the positive imaginary part.
void keep(Complex lambda, Dominant& pair) {
  pair.lambda = lambda;
  if (lambda.imag() >= 0) return;
  pair.lambda = std::conj(lambda);
  for (Vector* vector : {&pair.u, &pair.v})
    for (Complex& entry : *vector) entry = std::conj(entry);
}

}  // namespace

double Dominant::cosine() const {
  const double lengths = length(u) * length(v);
  return lengths > 0 ? std::abs(dot(v, u)) / lengths : 0;
}

struct DominantSolver::Work {
  bool iterate(int n, const std::vector<double>& T, Complex shift, Dominant& pair,
               const Multiply& multiply);
  double residual(const std::vector<double>& T, Complex lambda, const Dominant& pair);
  Complex rayleigh_quotient(const std::vector<double>& T, const Dominant& pair, Complex fallback);

  Eigen::EigenSolver<Eigen::MatrixXd> eigenvalues;
  Eigen::MatrixXd matrix;
  BlockedLu lu;
  std::vector<double> shifted, right, left;
  Vector product;

 private:
  void shift_by(int n, const std::vector<double>& T, Complex shift, bool real);
};

/// T - shift I, or for complex numbers [[T - a I, b I], [-b I, T - a I]] with shift = a + b i,
/// which does to a real part above an imaginary one what T - shift I does to the vector of both.
/// Its transpose does what the conjugate transpose does.
void DominantSolver::Work::shift_by(int n, const std::vector<double>& T, Complex shift, bool real) {
  const auto rows = static_cast<size_t>(n), size = real ? rows : 2 * rows;
  shifted.assign(size * size, 0);
  for (size_t part = 0; part < size; part += rows) {
    for (size_t i = 0; i < rows; ++i) {
      double* const row = &shifted[(part + i) * size];
      std::copy_n(&T[i * rows], rows, row + part);
      row[part + i] -= shift.real();
      if (!real) row[rows - part + i] = part == 0 ? shift.imag() : -shift.imag();
    }
  }
}

/// One step of inverse iteration for both vectors. False where the solution overflows.
bool DominantSolver::Work::iterate(int n, const std::vector<double>& T, Complex shift,
                                   Dominant& pair, const Multiply& multiply) {
  const bool real = shift.imag() == 0;
  const auto rows = static_cast<size_t>(n), size = real ? rows : 2 * rows;
  const double norm = norm_of(T);
  const auto lay_out = [=](const Vector& x, std::vector<double>& parts) {
    parts.resize(size);
    for (size_t i = 0; i < size; ++i) parts[i] = i < rows ? x[i].real() : x[i - rows].imag();
  };
  const auto is_finite = [](const std::vector<double>& parts) {
    return std::all_of(parts.begin(), parts.end(), [](double x) { return std::isfinite(x); });
  };
  const auto take = [=](const std::vector<double>& parts, Vector& x) {
    for (size_t i = 0; i < rows; ++i) x[i] = Complex(parts[i], real ? 0 : parts[rows + i]);
    normalize(x);
  };
  // Some roundings away from the eigenvalue, so that no pivot is exactly zero; farther where one
  // is all the same.
  for (double away = 4e-16; away < 1e-12; away *= 16) {
    shift_by(n, T, shift + away * norm, real);
    lu.factor(static_cast<int>(size), shifted.data(), multiply);
    lay_out(pair.u, right);
    lay_out(pair.v, left);
    lu.solve(1, right.data(), multiply);
    lu.solve_transposed(1, left.data(), multiply);
    if (!is_finite(right) || !is_finite(left)) continue;
    take(right, pair.u);
    take(left, pair.v);
    return true;
  }
  return false;
}

/// Both residuals, in units of the norm of T.
double DominantSolver::Work::residual(const std::vector<double>& T, Complex lambda,
                                      const Dominant& pair) {
  times(T, pair.u, product);
  const double of_right = distance(product, lambda, pair.u);
  transposed_times(T, pair.v, product);
  const double of_left = distance(product, std::conj(lambda), pair.v);
  return std::max(of_right, of_left) / norm_of(T);
}

/// v^H T u / (v^H u), or the fallback where the vectors are orthogonal.
Complex DominantSolver::Work::rayleigh_quotient(const std::vector<double>& T, const Dominant& pair,
                                                Complex fallback) {
  const Complex share = dot(pair.v, pair.u);
  if (std::abs(share) < 1e-8) return fallback;
  times(T, pair.u, product);
  return dot(pair.v, product) / share;
}

DominantSolver::DominantSolver() : work_(std::make_unique<Work>()) {}
DominantSolver::~DominantSolver() = default;

void DominantSolver::solve(const std::string& owner, int n, const std::vector<double>& T,
                           Dominant& pair, const Multiply& multiply) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  work_->matrix = Eigen::Map<const RowMajor>(T.data(), n, n);
  work_->eigenvalues.compute(work_->matrix, false);
  REQUIRE(work_->eigenvalues.info() == Eigen::Success, kNumeric, owner,
          ": its eigenvalues did not converge; its norm is ", norm_of(T),
          ". Restore a checkpoint, or lower the learning rate");
  const Complex lambda = choose(work_->eigenvalues.eigenvalues(), pair.gap);
  for (Vector* vector : {&pair.u, &pair.v}) begin(n, lambda.imag() == 0, *vector);
  if (norm_of(T) == 0) {
    normalize(pair.u);
    normalize(pair.v);
    return keep(lambda, pair);
  }
  bool found = true;
  for (int step = 0; step < 3 && found; ++step)
    found = work_->iterate(n, T, lambda, pair, multiply);
  const double error = found ? work_->residual(T, lambda, pair) : 1;
  REQUIRE(error <= kResidual, kNumeric, owner, ": the eigenvectors of ", lambda.real(), " + ",
          lambda.imag(), "i did not converge; their residual is ", error, ", expected at most ",
          kResidual, ". Restore a checkpoint, or lower the learning rate");
  keep(work_->rayleigh_quotient(T, pair, lambda), pair);
}

bool DominantSolver::follow(int n, const std::vector<double>& T, Dominant& pair,
                            const Multiply& multiply) {
  const Complex before = pair.lambda;
  const bool real = before.imag() == 0;
  Complex lambda = work_->rayleigh_quotient(T, pair, before);
  for (int step = 0; step < kFollowSteps; ++step) {
    if (!work_->iterate(n, T, lambda, pair, multiply)) return false;
    lambda = work_->rayleigh_quotient(T, pair, lambda);
    if (work_->residual(T, lambda, pair) > 1e-14 * n) continue;
    // Where a pair meets on the real axis, or leaves it, the runner-up is another one.
    const bool near = std::abs(lambda - before) <= pair.gap / 2 * std::abs(before);
    const bool is_real = std::abs(lambda.imag()) <= 1e-8 * std::abs(lambda);
    if (!near || is_real != real) return false;
    pair.gap -= kGapShare * std::abs(lambda - before) / std::abs(lambda);
    keep(lambda, pair);
    return true;
  }
  return false;
}

void radius_gradient(const Dominant& pair, std::vector<double>& gradient) {
  const size_t n = pair.u.size();
  const Complex factor = std::conj(pair.lambda) / (dot(pair.v, pair.u) * pair.radius());
  gradient.resize(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      gradient[i * n + j] = (factor * std::conj(pair.v[i]) * pair.u[j]).real();
}

}  // namespace lookback
