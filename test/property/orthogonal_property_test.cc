/// Do the matrices of scoRNN, expRNN and scuRNN stay orthogonal over thousands of updates in
/// float32? Their parametrizations alone, with random gradients of W. `LOOKBACK_LONG=1` takes the
/// gradient of every update through the adjoint at full size; without it all but one in fifty are
/// random skew-symmetric numbers, which is as hard on A and faster.
#include <cstdlib>
#include <memory>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/threads.h"
#include "native/check.h"
#include "parametrization/complex_cayley.h"
#include "parametrization/scaled_cayley.h"
#include "parametrization/trivialisation.h"

namespace lookback {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kUnits = 190, kUpdates = 20;  // every line once; instrumented factorisations are slow
#else
constexpr int kUnits = 190, kUpdates = 5000;
#endif
constexpr double kRate = 1e-2;
/// Of the issue; float32 rounding of W alone is 6e-8.
constexpr double kBound = 1e-5;

bool long_run() { return std::getenv("LOOKBACK_LONG") != nullptr; }

Multiply threaded() {
  static CpuRuntime runtime(2);
  return [](const Gemm<double>& g) { cpu_gemm(g, runtime.pool); };
}

/// Uniform in [-1, 1), a stream of its own for every test. A linear congruential generator: most of
/// this test's time would go into a better one.
class Noise {
 public:
  explicit Noise(uint64_t stream) : state_(stream) {}
  double next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(static_cast<int64_t>(state_) >> 11) * 0x1p-52;
  }
  std::vector<double> matrix(int n) {
    std::vector<double> numbers(static_cast<size_t>(n) * static_cast<size_t>(n));
    for (double& number : numbers) number = next();
    return numbers;
  }

 private:
  uint64_t state_;
};

/// What a model in float32 keeps.
void round_to_float(std::vector<double>& numbers) {
  for (double& number : numbers) number = static_cast<float>(number);
}

std::vector<double> rounded(std::vector<double> numbers) {
  round_to_float(numbers);
  return numbers;
}

/// One update of a float32 array by the sign-like step of RMSprop, which is odd in the gradient.
void update(std::vector<double>& param, const std::vector<double>& gradient) {
  for (size_t i = 0; i < param.size(); ++i) {
    const auto d = static_cast<float>(gradient[i]);
    param[i] =
        static_cast<float>(param[i]) - static_cast<float>(kRate) * d / (1.0f + (d < 0 ? -d : d));
  }
}

/// Updates P (the first `trained` params) of a parametrization; gives W in float32 at the end.
HostArrays train(Parametrization& parametrization, HostArrays params, size_t trained,
                 HostArrays derived, int n, int updates, Noise& noise) {
  const Multiply multiply = threaded();
  HostArrays buffers;
  for (const ParametrizationBuffer& buffer : parametrization.buffers()) {
    size_t size = 1;
    for (const int extent : buffer.shape) size *= static_cast<size_t>(extent);
    buffers.emplace_back(size, buffer.initial);
  }
  const int through = long_run() ? 1 : 50;
  parametrization.settle(params, buffers, true, multiply);
  for (int step = 0; step < updates; ++step) {
    HostArrays d_params;
    for (const std::vector<double>& param : params) d_params.emplace_back(param.size());
    if (step % through == 0) {
      parametrization.build(params, buffers, derived, multiply);
      HostArrays d_derived;
      for (const std::vector<double>& matrix : derived)
        d_derived.push_back(matrix.size() == params[0].size() ? noise.matrix(n) : matrix);
      parametrization.adjoint(params, d_derived, d_params, multiply);
    } else {
      const std::vector<double> V = noise.matrix(n);
      add_skew_gradient(n, V, 1, false, d_params[0]);
      if (trained > 1) {  // the symmetric part
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j)
            d_params[1][static_cast<size_t>(i * n + j)] =
                V[static_cast<size_t>(i * n + j)] + V[static_cast<size_t>(j * n + i)];
      }
    }
    for (size_t i = 0; i < trained; ++i) update(params[i], d_params[i]);
    parametrization.settle(params, buffers, false, multiply);
    for (std::vector<double>& param : params) round_to_float(param);
  }
  parametrization.build(params, buffers, derived, multiply);
  for (std::vector<double>& matrix : derived) round_to_float(matrix);
  derived.insert(derived.end(), params.begin(), params.end());
  return derived;
}

size_t square(int n) { return static_cast<size_t>(n) * static_cast<size_t>(n); }

TEST(scornn_stays_orthogonal) {
  for (const double resign_above : {0.0, 1.0}) {
    Noise noise(1);
    ScornnWeights weights(kUnits, false, resign_above, {0, 1});
    std::vector<double> signs(kUnits, 1.0);
    for (size_t i = 0; i < kUnits / 2; ++i) signs[i] = -1;
    // Re-signing at full size costs as much as everything else; a fifth of the updates do.
    const int updates = resign_above > 0 && !long_run() ? kUpdates / 5 : kUpdates;
    const HostArrays result = train(weights, {std::vector<double>(square(kUnits)), signs}, 1,
                                    {std::vector<double>(square(kUnits))}, kUnits, updates, noise);
    CHECK(orthogonality_error(kUnits, result[0], threaded()) < kBound);
    const std::vector<double>& A = result[1];
    double largest = 0, asymmetry = 0;
    for (size_t i = 0; i < kUnits; ++i) {
      for (size_t j = 0; j < kUnits; ++j) {
        largest = std::max(largest, std::abs(A[i * kUnits + j]));
        asymmetry = std::max(asymmetry, std::abs(A[i * kUnits + j] + A[j * kUnits + i]));
      }
    }
    CHECK(asymmetry == 0);                    // bit for bit
    CHECK(kUpdates < 1000 || largest > 0.2);  // it has travelled
    if (resign_above > 0) CHECK(largest <= 1);
  }
}

TEST(scurnn_stays_unitary) {
  Noise noise(2);
  ScurnnWeights weights(kUnits, false, {0, 1, 2});
  const std::vector<double> zeros(square(kUnits));
  const HostArrays result = train(weights, {zeros, zeros, std::vector<double>(kUnits)}, 2,
                                  {zeros, zeros}, kUnits, kUpdates, noise);
  // [W_re W_im; -W_im W_re]
  constexpr size_t n = kUnits;
  std::vector<double> expanded(4 * square(kUnits));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      expanded[i * 2 * n + j] = expanded[(n + i) * 2 * n + n + j] = result[0][i * n + j];
      expanded[i * 2 * n + n + j] = result[1][i * n + j];
      expanded[(n + i) * 2 * n + j] = -result[1][i * n + j];
    }
  }
  CHECK(orthogonality_error(2 * kUnits, expanded, threaded()) < kBound);
}

void check_exprnn(const TrivialisationOptions& options, int updates, uint32_t stream) {
  Noise noise(stream);
  Trivialisation weights(options, {0, 1});
  const int n = options.units;
  std::vector<double> P(square(n)), base(square(n));
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) base[i * static_cast<size_t>(n) + i] = 1;
  const HostArrays result =
      train(weights, {P, base}, 1, {std::vector<double>(square(n)), P}, n, updates, noise);
  CHECK(orthogonality_error(n, result[0], threaded()) < kBound);
}

TEST(exprnn_stays_orthogonal) {
  TrivialisationOptions options;
  options.units = kUnits;
  check_exprnn(options, kUpdates, 3);
  options.dynamic = true;
  options.rebase_every = 100;
  check_exprnn(options, kUpdates, 4);
}

/// A rebase at every update is the hardest on the base: it gathers the rounding of each.
TEST(exprnn_with_a_rebase_every_update_stays_orthogonal) {
  TrivialisationOptions options;
  options.units = long_run() ? kUnits : 48;
  options.dynamic = true;
  options.rebase_every = 1;
  for (const bool cayley : {false, true}) {
    options.cayley = cayley;
    check_exprnn(options, kUpdates, 5);
  }
}

TEST(projection_finds_the_nearest_orthogonal_matrix) {
  // Q (I + E) with a small symmetric E: Q is the nearest one.
  constexpr int n = 30;
  Noise noise(6);
  std::vector<double> skew(square(n)), E = noise.matrix(n), moved(square(n));
  add_skew_gradient(n, noise.matrix(n), 1, false, skew);
  const std::vector<double> Q = CayleyTransform().build("test", n, skew, threaded());
  std::vector<double> factor(square(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j)
      factor[i * n + j] = (i == j ? 1 : 0) + 5e-4 * (E[i * n + j] + E[j * n + i]);
  }
  threaded()({n, n, n, Q.data(), n, 1, factor.data(), n, 1, 0, moved.data(), n});
  project_orthogonal("test", n, moved, threaded());
  for (size_t i = 0; i < moved.size(); ++i) CHECK_NEAR(moved[i], Q[i], 1e-13);
  std::vector<double> far = rounded(noise.matrix(n));
  CHECK_THROWS(kNumeric, "is not nearly orthogonal",
               project_orthogonal("test", n, far, threaded()));
}

}  // namespace
}  // namespace lookback
