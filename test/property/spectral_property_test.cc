/// ENRNN's short-term matrix: its radius after every update, the gradient through it, the sticky
/// bit, and the matrices where the eigenproblem is hard.
#include <Eigen/Eigenvalues>
#include <cmath>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "native/check.h"
#include "parametrization/enrnn_weights.h"

namespace lookback {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void multiply(const Gemm<double>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      double sum = g.beta == 0 ? 0 : g.beta * g.c[i * g.c_row + j];
      for (int64_t k = 0; k < g.k; ++k)
        sum += g.a[i * g.a_row + k * g.a_col] * g.b[k * g.b_row + j * g.b_col];
      g.c[i * g.c_row + j] = sum;
    }
  }
}

std::vector<double> noise(uint32_t stream, int n, double scale) {
  std::vector<double> numbers(static_cast<size_t>(n) * static_cast<size_t>(n));
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = scale * (2 * uniform_at(9, RandomUse::kCaller, stream, i) - 1);
  return numbers;
}

/// By another way than the library's.
double radius_of(int n, const std::vector<double>& T) {
  const Matrix matrix = Eigen::Map<const Matrix>(T.data(), n, n);
  return Eigen::EigenSolver<Eigen::MatrixXd>(matrix, false).eigenvalues().cwiseAbs().maxCoeff();
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Dominant dominant(int n, const std::vector<double>& T) {
  DominantSolver solver;
  Dominant pair;
  solver.solve("test", n, T, pair, multiply);
  return pair;
}

/// A long-term block of one unit, and all of a short-term one.
struct Fixture {
  explicit Fixture(int units, NormMode mode = NormMode::kSticky, double eps = 0) : n(units) {
    options.long_units = 1;
    options.short_units = units;
    options.mode = mode;
    options.eps = eps;
    weights = std::make_unique<EnrnnWeights>(options, std::vector<int>{0, 1, 2});
    for (const ParametrizationBuffer& buffer : weights->buffers()) {
      size_t size = 1;
      for (const int extent : buffer.shape) size *= static_cast<size_t>(extent);
      buffers.emplace_back(size, buffer.initial);
    }
    const auto square = static_cast<size_t>(units) * static_cast<size_t>(units);
    derived = {{0}, std::vector<double>(square), {0}, {0, 0}, std::vector<double>(square)};
  }

  void build(const std::vector<double>& T) {
    params = {{0}, {1}, T};
    weights->build(params, buffers, derived, multiply);
    for (std::vector<double>& buffer : buffers)  // as a model in float32 keeps them
      for (double& number : buffer) number = static_cast<float>(number);
  }
  std::vector<double> gradient(const std::vector<double>& G) {
    HostArrays d_params{{0}, {0}, std::vector<double>(G.size())};
    weights->adjoint(params, {{0}, G, {0}, {0, 0}, G}, d_params, multiply);
    return d_params[2];
  }
  bool active() const { return buffers[0][0] != 0; }
  double near_defective() const { return buffers[1][0]; }
  double rho() const { return derived[2][0]; }
  const std::vector<double>& W_S() const { return derived[1]; }
  const std::vector<double>& d_rho() const { return derived[4]; }

  int n;
  EnrnnOptions options;
  std::unique_ptr<EnrnnWeights> weights;
  HostArrays params, buffers, derived;
};

TEST(radius_is_at_most_one_after_every_update) {
  constexpr double kFloat = 1.2e-7;
  for (const NormMode mode : {NormMode::kSticky, NormMode::kAlways, NormMode::kThreshold}) {
    for (const int n : {1, 2, 7, 24}) {
      Fixture f(n, mode);
      std::vector<double> T = noise(static_cast<uint32_t>(n), n, 0.9 / std::sqrt(n));
      for (uint32_t step = 0; step < 200; ++step) {
        f.build(T);
        std::vector<double> in_float = f.W_S();
        for (double& entry : in_float) entry = static_cast<float>(entry);
        const double c = dominant(n, T).cosine();
        CHECK(radius_of(n, in_float) <= 1 + 1e-6 + 4 * kFloat / c);
        // Followed or solved for: the dominant eigenvalue, and with it the radius.
        CHECK_NEAR(f.rho(), radius_of(n, T), 1e-9 * f.rho());
        CHECK_NEAR(dot(f.d_rho(), T), f.rho(), 1e-9 * f.rho() / c);
        const std::vector<double> G = noise(1000 + step, n, 1), d = f.gradient(G);
        // The gradient does not change the length of T where W_S does not depend on it.
        if (f.active() || mode == NormMode::kAlways)
          CHECK_NEAR(dot(d, T), 0, 1e-8 * std::sqrt(dot(d, d) * dot(T, T)) / c + 1e-12);
        for (size_t i = 0; i < T.size(); ++i)
          T[i] =
              static_cast<float>(T[i] + 0.01 * d[i] / std::sqrt(dot(d, d) + 1e-12) + 0.002 * G[i]);
      }
    }
  }
}

TEST(gradient_is_that_of_differences) {
  for (const double eps : {0.0, 0.3}) {
    for (const int n : {1, 3, 6}) {
      Fixture f(n, NormMode::kAlways, eps);
      const std::vector<double> T = noise(40 + static_cast<uint32_t>(n), n, 1), G = noise(50, n, 1),
                                step = noise(60, n, 1);
      f.build(T);
      const double expected = dot(f.gradient(G), step);
      double difference = 0;
      constexpr double kStep = 1e-5;
      for (const int sign : {-1, 1}) {
        std::vector<double> moved = T;
        for (size_t i = 0; i < T.size(); ++i) moved[i] += sign * kStep * step[i];
        Fixture other(n, NormMode::kAlways, eps);
        other.build(moved);
        difference += sign * dot(other.W_S(), G) / (2 * kStep);
      }
      CHECK_NEAR(expected, difference, 1e-7 * (1 + std::abs(difference)));
    }
  }
}

TEST(normalisation_begins_and_ends_as_its_mode_says) {
  const std::vector<double> small = {0.5, 0.2, 0, 0.25}, large = {2, 0.5, 0, 0.5};
  Fixture sticky(2);
  sticky.build(small);
  CHECK(!sticky.active());
  CHECK(sticky.W_S() == small);
  CHECK(sticky.gradient({1, 2, 3, 4}) == std::vector<double>({1, 2, 3, 4}));
  sticky.build(large);
  CHECK(sticky.active());
  CHECK_NEAR(sticky.W_S()[0], 1, 1e-15);
  sticky.build(small);
  CHECK(sticky.active());  // for ever
  CHECK_NEAR(sticky.W_S()[0], 1, 1e-15);
  Fixture threshold(2, NormMode::kThreshold);
  threshold.build(large);
  CHECK_NEAR(threshold.W_S()[0], 1, 1e-15);
  threshold.build(small);
  CHECK(threshold.W_S() == small);
  Fixture always(2, NormMode::kAlways), off(2, NormMode::kOff);
  always.build(small);
  CHECK_NEAR(always.W_S()[0], 1, 1e-15);
  off.build(large);
  CHECK(off.W_S() == large);
  CHECK(!threshold.active() && !always.active() && !off.active());
}

TEST(matrix_without_a_radius_stays_as_it_is) {
  for (const NormMode mode : {NormMode::kAlways, NormMode::kSticky}) {
    Fixture f(3, mode);
    const std::vector<double> zero(9), G = noise(70, 3, 1);
    f.build(zero);
    CHECK(f.W_S() == zero);
    CHECK(f.gradient(G) == G);
    // Nilpotent: no radius, although not zero.
    const std::vector<double> nilpotent = {0, 1e-13, 0, 0, 0, 1e-13, 0, 0, 0};
    f.build(nilpotent);
    CHECK(f.W_S() == nilpotent);
  }
}

TEST(near_defective_matrix_is_counted_and_survived) {
  Fixture f(2, NormMode::kAlways);
  // [[1, 1], [e, 1]]: 1 +- sqrt(e), whose eigenvectors meet as e vanishes: c is about 2 sqrt(e).
  const std::vector<double> G = {1, -2, 0.5, 3};
  f.build({1, 1, 1e-2, 1});
  CHECK_EQUAL(f.near_defective(), 0.0);
  for (const double e : {1e-10, 0.0, 1e-14}) {
    const double before = f.near_defective();
    f.build({1, 1, e, 1});
    CHECK_EQUAL(f.near_defective(), before + 1);
    const std::vector<double> d = f.gradient(G);
    for (size_t i = 0; i < G.size(); ++i) CHECK_NEAR(d[i], G[i] / f.rho(), 1e-15);
  }
}

TEST(ties_are_broken_in_one_way) {
  CHECK_NEAR(dominant(2, {1, 0, 0, -1}).lambda.real(), 1, 1e-12);
  CHECK_NEAR(dominant(2, {-1, 0, 0, 1}).lambda.real(), 1, 1e-12);
  // A rotation by a right angle beside 1 and -1: the largest imaginary part.
  const Dominant turn = dominant(4, {-1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1});
  CHECK_NEAR(turn.lambda.imag(), 1, 1e-12);
  // The identity: every vector is an eigenvector, and left and right ones are the same.
  CHECK_NEAR(dominant(3, {1, 0, 0, 0, 1, 0, 0, 0, 1}).cosine(), 1, 1e-12);
}

/// Two eigenvalues change places; following one would report a radius that is too small.
TEST(the_dominant_eigenvalue_is_followed_to_another) {
  Fixture f(3, NormMode::kAlways);
  for (int step = 0; step <= 60; ++step) {
    const double share = step / 60.0;
    const std::vector<double> T = {1 - 0.5 * share, 0.1, 0, 0, 0.4 + 0.8 * share, 0.1, 0, 0, 0.2};
    f.build(T);
    CHECK_NEAR(f.rho(), radius_of(3, T), 1e-9);
  }
}

/// A run that goes on from a checkpoint takes the same path: the buffers are all there is.
TEST(resumed_builds_give_the_same_bits) {
  Fixture one(12), other(12);
  std::vector<double> T = noise(80, 12, 0.5);
  for (uint32_t step = 0; step < 30; ++step) {
    one.build(T);
    Fixture resumed(12);
    resumed.buffers = other.buffers;
    resumed.build(T);
    CHECK(resumed.derived == one.derived);
    CHECK(resumed.buffers == one.buffers);
    other.buffers = resumed.buffers;
    const std::vector<double> move = noise(90 + step, 12, 0.01);
    for (size_t i = 0; i < T.size(); ++i) T[i] += move[i];
  }
}

}  // namespace
}  // namespace lookback
