#include "parametrization/exponential.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

/// Coefficients of the approximant's numerator, by power.
constexpr double kPade[14] = {64764752532480000.0,
                              32382376266240000.0,
                              7771770303897600.0,
                              1187353796428800.0,
                              129060195264000.0,
                              10559470521600.0,
                              670442572800.0,
                              33522128640.0,
                              1323241920.0,
                              40840800.0,
                              960960.0,
                              16380.0,
                              182.0,
                              1.0};
/// Largest 2-norm for which approximant and differential are exact to the last digit of float64.
constexpr double kLargest = 4.74;
/// Angles of 2^40 turns have four digits left; each squaring doubles their error.
constexpr int kMostSquarings = 40;

using Matrix = std::vector<double>;

/// The largest sum of sizes in a row.
double norm_of(int n, const Matrix& A) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += std::abs(A[static_cast<size_t>(i * n + j)]);
    if (!(sum <= largest)) largest = sum;
  }
  return largest;
}

void multiply_by(double factor, Matrix& A) {
  for (double& entry : A) entry *= factor;
}

/// to = (to +) c6 x6 + c4 x4 + c2 x2 + c0 I, with `coefficient` at c0 and every second one behind.
void add_powers(int n, const double* coefficient, const Matrix& x2, const Matrix& x4,
                const Matrix& x6, bool add, bool with_identity, Matrix& to) {
  const double c2 = coefficient[2], c4 = coefficient[4], c6 = coefficient[6];
  for (size_t i = 0; i < to.size(); ++i) {
    const double sum = c6 * x6[i] + c4 * x4[i] + c2 * x2[i];
    to[i] = add ? to[i] + sum : sum;
  }
  if (!with_identity) return;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i)
    to[i * static_cast<size_t>(n) + i] += coefficient[0];
}

void transpose(int n, const Matrix& from, Matrix& to) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      to[static_cast<size_t>(i * n + j)] = from[static_cast<size_t>(j * n + i)];
}

}  // namespace

void SkewExponential::product(const Matrix& a, const Matrix& b, bool add, Matrix& to,
                              const Multiply& multiply) {
  to.resize(a.size());
  multiply({n_, n_, n_, a.data(), n_, 1, b.data(), n_, 1, add ? 1.0 : 0.0, to.data(), n_});
}

/// Divides A by 2^s, and its powers likewise; gives s.
int SkewExponential::scale_powers(const std::string& owner) {
  const double size =
      std::min({norm_of(n_, A_), std::sqrt(norm_of(n_, A2_)), std::pow(norm_of(n_, A4_), 1.0 / 4),
                std::pow(norm_of(n_, A6_), 1.0 / 6)});
  int squarings = 0;
  while (squarings <= kMostSquarings && !(std::ldexp(size, -squarings) <= kLargest)) ++squarings;
  REQUIRE(squarings <= kMostSquarings, kNumeric, owner,
          ": A has grown too large for its rotations ", "to have digits; its norm is ",
          norm_of(n_, A_), ". Restore a checkpoint, or lower the learning rate");
  multiply_by(std::ldexp(1.0, -squarings), A_);
  multiply_by(std::ldexp(1.0, -2 * squarings), A2_);
  multiply_by(std::ldexp(1.0, -4 * squarings), A4_);
  multiply_by(std::ldexp(1.0, -6 * squarings), A6_);
  return squarings;
}

const std::vector<double>& SkewExponential::build(const std::string& owner, int n,
                                                  const std::vector<double>& A,
                                                  const Multiply& multiply) {
  n_ = n;
  const auto size = static_cast<size_t>(n);
  squarings_ = 0;
  if (power_.empty()) power_.emplace_back();
  Matrix& E = power_.front();
  zero_ = std::all_of(A.begin(), A.end(), [](double entry) { return entry == 0; });
  if (zero_) {
    E.assign(size * size, 0.0);
    for (size_t i = 0; i < size; ++i) E[i * size + i] = 1;
    return E;
  }
  A_ = A;
  product(A_, A_, false, A2_, multiply);
  product(A2_, A2_, false, A4_, multiply);
  product(A4_, A2_, false, A6_, multiply);
  squarings_ = scale_powers(owner);
  inner_odd_.resize(A.size());
  inner_even_.resize(A.size());
  add_powers(n, kPade + 7, A2_, A4_, A6_, false, false, inner_odd_);
  product(A6_, inner_odd_, false, odd_, multiply);
  add_powers(n, kPade + 1, A2_, A4_, A6_, true, true, odd_);
  add_powers(n, kPade + 6, A2_, A4_, A6_, false, false, inner_even_);
  // V in the place of the differential of the inner polynomial, U in that of its own.
  product(A6_, inner_even_, false, dV_, multiply);
  add_powers(n, kPade, A2_, A4_, A6_, true, true, dV_);
  product(A_, odd_, false, dU_, multiply);
  E.resize(A.size());
  for (size_t i = 0; i < E.size(); ++i) {
    E[i] = dV_[i] + dU_[i];
    dV_[i] -= dU_[i];
  }
  lu_.factor(n, dV_.data(), multiply);
  lu_.solve(n, E.data(), multiply);
  while (power_.size() <= static_cast<size_t>(squarings_)) power_.emplace_back();
  for (size_t k = 0; k < static_cast<size_t>(squarings_); ++k)
    product(power_[k], power_[k], false, power_[k + 1], multiply);
  return power_[static_cast<size_t>(squarings_)];
}

const std::vector<double>& SkewExponential::adjoint(const std::vector<double>& H,
                                                    const Multiply& multiply) {
  if (zero_) return H;
  D_.resize(H.size());
  transpose(n_, H, D_);
  multiply_by(std::ldexp(1.0, -squarings_), D_);
  const auto differential = [&](const Matrix& a, const Matrix& d_b, const Matrix& d_a,
                                const Matrix& b, Matrix& to) {
    product(a, d_b, false, to, multiply);
    product(d_a, b, true, to, multiply);
  };
  differential(A_, D_, D_, A_, D2_);
  differential(A2_, D2_, D2_, A2_, D4_);
  differential(A4_, D2_, D4_, A2_, D6_);
  d_inner_.resize(H.size());
  add_powers(n_, kPade + 7, D2_, D4_, D6_, false, false, d_inner_);
  differential(A6_, d_inner_, D6_, inner_odd_, d_odd_);
  add_powers(n_, kPade + 1, D2_, D4_, D6_, true, false, d_odd_);
  differential(A_, d_odd_, D_, odd_, dU_);
  add_powers(n_, kPade + 6, D2_, D4_, D6_, false, false, d_inner_);
  differential(A6_, d_inner_, D6_, inner_even_, dV_);
  add_powers(n_, kPade, D2_, D4_, D6_, true, false, dV_);
  // (V - U) dE = dU + dV + (dU - dV) E.
  for (size_t i = 0; i < dU_.size(); ++i) {
    d_inner_[i] = dU_[i] - dV_[i];
    dU_[i] += dV_[i];
  }
  product(d_inner_, power_.front(), true, dU_, multiply);
  lu_.solve(n_, dU_.data(), multiply);
  for (size_t k = 0; k < static_cast<size_t>(squarings_); ++k) {
    differential(power_[k], dU_, dU_, power_[k], dV_);
    dU_.swap(dV_);
  }
  transpose(n_, dU_, dV_);
  return dV_;
}

}  // namespace lookback
