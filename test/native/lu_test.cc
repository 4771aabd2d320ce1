/// Linear systems in blocks, and what is made from them: the exponential and its differential.
#include "ops/lu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/cancel.h"
#include "native/check.h"
#include "native/models.h"
#include "parametrization/exponential.h"

namespace lookback {
namespace {

std::vector<double> noise(int64_t rows, int64_t columns, uint32_t stream) {
  return numbers_of(noise_tensor({rows, columns}, stream));
}

class Products {
 public:
  Multiply multiply() {
    return [this](const Gemm<double>& g) { gemm_in_parts(g, runtime_); };
  }
  void cancel(const std::atomic<bool>* flag) { runtime_.cancel = flag; }

 private:
  CpuRuntime runtime_{2};
};

/// The largest entry of A X - B.
double residual(int n, int columns, const std::vector<double>& A, const std::vector<double>& X,
                const std::vector<double>& B) {
  double worst = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < columns; ++j) {
      double sum = -B[static_cast<size_t>(i * columns + j)];
      for (int k = 0; k < n; ++k)
        sum += A[static_cast<size_t>(i * n + k)] * X[static_cast<size_t>(k * columns + j)];
      worst = std::max(worst, std::abs(sum));
    }
  }
  return worst;
}

std::vector<double> transposed(int n, const std::vector<double>& A) {
  std::vector<double> result(A.size());
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      result[static_cast<size_t>(j * n + i)] = A[static_cast<size_t>(i * n + j)];
  return result;
}

TEST(systems_of_one_block_and_of_several) {
  Products products;
  BlockedLu lu;  // used again, for larger and for smaller matrices
  for (const int n : {1, 7, 48, 49, 96, 130, 20}) {
    for (const int columns : {1, 5, n}) {
      std::vector<double> A = noise(n, n, 1);
      if (n > 2) A[0] = A[static_cast<size_t>(n) + 1] = 0;  // nothing stands without exchanged rows
      const std::vector<double> B = noise(n, columns, 2);
      std::vector<double> X = B, Y = B;
      lu.factor(n, A.data(), products.multiply());
      lu.solve(columns, X.data(), products.multiply());
      CHECK(residual(n, columns, A, X, B) < 1e-10);
      lu.solve_transposed(columns, Y.data(), products.multiply());
      CHECK(residual(n, columns, transposed(n, A), Y, B) < 1e-10);
    }
  }
}

TEST(a_singular_matrix_gives_no_finite_numbers) {
  Products products;
  constexpr int n = 60;
  std::vector<double> A = noise(n, n, 1), X(n, 1.0);
  for (int i = 0; i < n; ++i) A[static_cast<size_t>(i * n + 50)] = 0;
  BlockedLu lu;
  lu.factor(n, A.data(), products.multiply());
  lu.solve(1, X.data(), products.multiply());
  CHECK(std::any_of(X.begin(), X.end(), [](double number) { return !std::isfinite(number); }));
}

TEST(a_cancelled_job_ends_between_two_blocks) {
  Products products;
  const std::vector<double> A = noise(100, 100, 1);
  BlockedLu lu;
  const std::atomic<bool> cancel{true};
  products.cancel(&cancel);
  CHECK_THROWS(kAborted, "cancelled", lu.factor(100, A.data(), products.multiply()));
}

/// A rotation by any angle, with and without squarings, and its derivative by the angle.
TEST(the_exponential_of_a_rotation) {
  Products products;
  SkewExponential exponential;
  for (const double angle : {0.0, 1e-9, 0.5, 3.0, 4.7, 4.8, 100.0, -1e4}) {
    const double c = std::cos(angle), s = std::sin(angle);
    const std::vector<double> wanted = {c, s, -s, c}, slope = {-s, c, -c, -s};
    const std::vector<double> G = {0.3, -1.1, 0.7, 0.2};
    const std::vector<double> W =
        exponential.build("test", 2, {0, angle, -angle, 0}, products.multiply());
    const double bound = 1e-14 * std::max(1.0, std::abs(angle));
    for (size_t i = 0; i < 4; ++i) CHECK_NEAR(W[i], wanted[i], bound);
    const std::vector<double> X = exponential.adjoint(G, products.multiply());
    double derivative = 0;
    for (size_t i = 0; i < 4; ++i) derivative += G[i] * slope[i];
    CHECK_NEAR(X[1] - X[2], derivative, 4 * bound);
  }
}

TEST(a_rotation_without_digits_is_refused) {
  Products products;
  SkewExponential exponential;
  CHECK_THROWS(kNumeric, "test: A has grown too large",
               exponential.build("test", 2, {0, 1e14, -1e14, 0}, products.multiply()));
}

}  // namespace
}  // namespace lookback
