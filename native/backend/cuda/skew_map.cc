#include "backend/cuda/skew_map.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lookback {
namespace {

/// Places of norms.
enum { kOfA, kOfSquare, kOfFourth, kOfResidual, kPlaces };
static_assert(kPlaces == DeviceSkewMap::kNorms);

/// Largest 2-norm of an A that is inverted here: the residual then begins at 1 - 5e-4 and loses a
/// few digits at most.
constexpr double kLargestInverted = 64;
/// A residual below this is its square after the last step: below the rounding of float64.
constexpr double kSmallResidual = 0x1p-28;

/// The series' degree, and the largest 2-norm for which it and its differential are exact to the
/// last digit: 0.7^16 / 16! < 2^-52.
constexpr int kDegree = 16;
constexpr double kLargestSummed = 0.7;
/// Each squaring doubles the error.
constexpr int kMostSquarings = 6;

}  // namespace

bool DeviceSkewMap::begin() {
  algebra_.multiply(A_, A_, A2_);
  algebra_.multiply(A2_, A2_, A4_);
  algebra_.queue_norm(kOfA, A_);
  algebra_.queue_norm(kOfSquare, A2_);
  algebra_.queue_norm(kOfFourth, A4_);
  const std::vector<double> squares = algebra_.read_norms(kOfA, 3);
  const bool finite = std::all_of(squares.begin(), squares.end(),
                                  [](double square) { return std::isfinite(square); });
  if (!finite) return false;
  const double bound =
      std::min({std::sqrt(squares[kOfA] / 2), std::pow(squares[kOfSquare] / 2, 1.0 / 4),
                std::pow(squares[kOfFourth] / 2, 1.0 / 8)});
  return queue(bound);
}

/// The first two steps, whose residuals are sums of the powers at hand; gives r of the third.
double DeviceCayley::first_steps(double bound) {
  const double square = bound * bound, c0 = 2 / (2 + square), rest = 1 - c0;
  double r = square / (2 + square);
  const double c1 = 2 / (2 - r * r);
  algebra_.combine(c0, {{-c0, A_}}, X_);
  algebra_.combine(c1 * (2 - c0), {{c1 * c0, A2_}}, factor_);
  step();
  r = r * r / (2 - r * r);
  // R_0 = rest I + c0 A^2 and R_1 = I - c1 (I - R_0^2).
  const double c2 = 2 / (2 - r * r);
  algebra_.combine(c2 * (2 - c1 + c1 * rest * rest),
                   {{c2 * c1 * 2 * rest * c0, A2_}, {c2 * c1 * c0 * c0, A4_}}, factor_);
  step();
  return r * r / (2 - r * r);
}

/// X := X times the factor.
void DeviceCayley::step() {
  algebra_.multiply(X_, factor_, next_);
  std::swap(X_, next_);
}

bool DeviceCayley::queue(double bound) {
  if (!(bound <= kLargestInverted)) return false;
  double r = first_steps(bound);
  while (r > kSmallResidual) {
    const double c = 2 / (2 - r * r);
    algebra_.multiply(A_, X_, product_);
    algebra_.combine(2 * c, {{-c, X_}, {-c, product_}}, factor_);
    step();
    r = r * r / (2 - r * r);
  }
  algebra_.multiply(A_, X_, product_);
  algebra_.combine(1, {{-1, X_}, {-1, product_}}, factor_);
  algebra_.queue_norm(kOfResidual, factor_);
  algebra_.combine(0, {{1, X_}}, next_);
  algebra_.multiply(X_, factor_, next_, true);
  std::swap(X_, next_);
  return true;
}

bool DeviceCayley::finish() {
  const double residual = algebra_.read_norms(kOfResidual, 1).front();
  // Of each eigenvalue, with as much again for rounding.
  const double most = 2 * kSmallResidual;
  return residual <= static_cast<double>(algebra_.n()) * most * most;
}

/// V = S H S / 2 with S = I + Z^T = 2 X^T, here without its factor of 2.
const DeviceMatrix& DeviceCayley::adjoint(const DeviceMatrix& H_transposed) {
  algebra_.multiply(transposed(X_), transposed(H_transposed), product_);
  algebra_.multiply(product_, transposed(X_), V_);
  return V_;
}

/// Of A^degree in the exponential of A / 2^s: powers of two, so that nothing is rounded here.
double DeviceExponential::coefficient(int degree) const {
  double factorial = 1;
  for (int k = 2; k <= degree; ++k) factorial *= k;
  return std::ldexp(1 / factorial, -squarings_ * degree);
}

bool DeviceExponential::queue(double bound) {
  squarings_ = 0;
  while (squarings_ <= kMostSquarings && !(std::ldexp(bound, -squarings_) <= kLargestSummed))
    ++squarings_;
  if (squarings_ > kMostSquarings) return false;
  while (inner_.size() < kDegree / 4 - 1) inner_.push_back(algebra_.matrix());
  while (power_.size() <= static_cast<size_t>(squarings_)) power_.push_back(algebra_.matrix());
  const auto k = [this](int degree) { return coefficient(degree); };
  algebra_.multiply(A_, A2_, A3_);
  algebra_.combine(k(12), {{k(13), A_}, {k(14), A2_}, {k(15), A3_}, {k(16), A4_}}, inner_[0]);
  for (size_t part = 1; part <= inner_.size(); ++part) {
    DeviceMatrix& to = part < inner_.size() ? inner_[part] : power_[0];
    const int low = kDegree - 4 - 4 * static_cast<int>(part);
    algebra_.combine(k(low), {{k(low + 1), A_}, {k(low + 2), A2_}, {k(low + 3), A3_}}, to);
    algebra_.multiply(inner_[part - 1], A4_, to, true);
  }
  for (size_t i = 0; i < static_cast<size_t>(squarings_); ++i)
    algebra_.multiply(power_[i], power_[i], power_[i + 1]);
  return true;
}

/// to = (to +) a d_b + d_a b.
void DeviceExponential::differential(const DeviceMatrix& a, const DeviceMatrix& d_b,
                                     const DeviceMatrix& d_a, const DeviceMatrix& b,
                                     DeviceMatrix& to, bool add) {
  algebra_.multiply(a, d_b, to, add);
  algebra_.multiply(d_a, b, to, true);
}

/// L(A)^*[H] = (L(A)[H^T])^T, since A is real.
const DeviceMatrix& DeviceExponential::adjoint(const DeviceMatrix& D) {
  const auto k = [this](int degree) { return coefficient(degree); };
  differential(A_, D, D, A_, D2_);
  differential(A_, D2_, D, A2_, D3_);
  differential(A2_, D2_, D2_, A2_, D4_);
  algebra_.combine(0, {{k(13), D}, {k(14), D2_}, {k(15), D3_}, {k(16), D4_}}, dE_);
  for (size_t part = 1; part <= inner_.size(); ++part) {
    const int low = kDegree - 4 - 4 * static_cast<int>(part);
    algebra_.combine(0, {{k(low + 1), D}, {k(low + 2), D2_}, {k(low + 3), D3_}}, next_);
    differential(inner_[part - 1], D4_, dE_, A4_, next_, true);
    std::swap(dE_, next_);
  }
  for (size_t i = 0; i < static_cast<size_t>(squarings_); ++i) {
    differential(power_[i], dE_, dE_, power_[i], next_);
    std::swap(dE_, next_);
  }
  return dE_;
}

}  // namespace lookback
