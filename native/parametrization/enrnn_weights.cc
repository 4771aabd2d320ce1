#include "parametrization/enrnn_weights.h"

#include <algorithm>

namespace lookback {
namespace {

/// Positions among the buffers.
enum { kActive, kDefective, kRight, kLeft, kSolve };
/// Positions in the bookkeeping: builds left until the next full solve (0: no pair yet),
/// what is left of its gap, lambda.
enum { kLeftOver, kGap, kReal, kImaginary };

constexpr int kBuildsPerSolve = 20;
/// Nearer than this to the runner-up, the dominant eigenvalue may be another one soon.
constexpr double kSafeGap = 0.05;
/// A smaller radius is not divided by.
constexpr double kSmallestRadius = 1e-12;

void read(const std::vector<double>& numbers, std::vector<Complex>& vector) {
  const size_t n = numbers.size() / 2;
  vector.resize(n);
  for (size_t i = 0; i < n; ++i) vector[i] = {numbers[i], numbers[n + i]};
}

void write(const std::vector<Complex>& vector, std::vector<double>& numbers) {
  for (size_t i = 0; i < vector.size(); ++i) {
    numbers[i] = vector[i].real();
    numbers[vector.size() + i] = vector[i].imag();
  }
}

}  // namespace

std::vector<ParametrizationBuffer> EnrnnWeights::buffers() const {
  const int n = options_.short_units;
  return {{"normActive", {1}, 0},
          {"nearDefective", {1}, 0},
          {"eigenRight", {2, n}, 0},
          {"eigenLeft", {2, n}, 0},
          {"eigenSolve", {4}, 0}};
}

/// The dominant pair of T: followed from the last build's where that is safe, solved for otherwise.
void EnrnnWeights::find_pair(const std::vector<double>& T, HostArrays& buffers,
                             const Multiply& multiply) {
  const int n = options_.short_units;
  std::vector<double>& book = buffers[kSolve];
  bool followed = false;
  if (book[kLeftOver] > 0 && book[kGap] >= kSafeGap) {
    pair_.lambda = {book[kReal], book[kImaginary]};
    read(buffers[kRight], pair_.u);
    read(buffers[kLeft], pair_.v);
    pair_.gap = book[kGap];
    followed = solver_.follow(n, T, pair_, multiply);
  }
  if (!followed) solver_.solve("enrnn, matrix T", n, T, pair_, multiply);
  book = {followed ? book[kLeftOver] - 1 : kBuildsPerSolve - 1, pair_.gap, pair_.lambda.real(),
          pair_.lambda.imag()};
  write(pair_.u, buffers[kRight]);
  write(pair_.v, buffers[kLeft]);
}

bool EnrnnWeights::decide(double rho, double& sticky) const {
  if (options_.mode == NormMode::kSticky && rho > 1) sticky = 1;
  if (rho < kSmallestRadius) return false;
  switch (options_.mode) {
    case NormMode::kSticky:
      return sticky != 0;
    case NormMode::kAlways:
      return true;
    case NormMode::kThreshold:
      return rho > 1;
    case NormMode::kOff:
      return false;
  }
  return false;
}

void EnrnnWeights::build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                         const Multiply& multiply) {
  W_L_.build(params[0], params[1], derived[0], multiply);
  build_rest(params, buffers, derived, multiply);
}

void EnrnnWeights::build_rest(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                              const Multiply& multiply) {
  const std::vector<double>& T = params[2];
  find_pair(T, buffers, multiply);
  const double rho = pair_.radius();
  on_ = decide(rho, buffers[kActive][0]);
  scale_ = on_ ? rho + options_.eps : 1;
  std::transform(T.begin(), T.end(), derived[1].begin(),
                 [this](double entry) { return entry / scale_; });
  d_rho_.assign(T.size(), 0);
  if (rho >= kSmallestRadius) {
    if (pair_.cosine() >= options_.min_cosine) {
      radius_gradient(pair_, d_rho_);
    } else {
      buffers[kDefective][0] += 1;
    }
  }
  derived[2] = {rho};
  derived[3] = {pair_.lambda.real(), std::abs(pair_.lambda.imag())};
  derived[4] = d_rho_;
}

void EnrnnWeights::adjoint(const HostArrays& params, const HostArrays& d_derived,
                           HostArrays& d_params, const Multiply& multiply) {
  W_L_.adjoint(params[1], d_derived[0], d_params[0], multiply);
  adjoint_rest(params, d_derived, d_params, multiply);
}

void EnrnnWeights::adjoint_rest(const HostArrays& params, const HostArrays& d_derived,
                                HostArrays& d_params, const Multiply&) {
  const std::vector<double>&T = params[2], &G = d_derived[1];
  double inner = 0;
  for (size_t i = 0; i < T.size(); ++i) inner += G[i] * T[i];
  const double through = on_ && options_.grad_through_norm ? inner / (scale_ * scale_) : 0;
  for (size_t i = 0; i < T.size(); ++i) d_params[2][i] += G[i] / scale_ - through * d_rho_[i];
}

}  // namespace lookback
