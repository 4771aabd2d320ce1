/// The scalar functions of the cells for plain numbers, and their derivatives against dual numbers.
#include "math/scalar.h"

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "gradcheck/dual.h"
#include "native/check.h"
#include "native/ulp.h"

namespace lookback {
namespace {

constexpr int kCount = 20000;

double uniform(int i) { return uniform_at(8, RandomUse::kCaller, 1, static_cast<uint64_t>(i)); }

/// d(f(x)), from the output, must be the derivative of f at x. Where the derivative is formed from
/// 1 - t^2 or s (1 - s) of a rounded output it inherits that rounding: some 1e-16 absolute.
template <class F, class D>
void check_derivative(const char* name, F f, D d) {
  WorstError worst(name, 4e-16);
  for (int i = 0; i < kCount; ++i) {
    const Dual x(12 * uniform(i) - 6, 1);
    const Dual y = f(x);
    worst.add(std::abs(d(y.v) - y.d), x.v);
  }
  worst.report(__FILE__, __LINE__);
}

TEST(derivatives) {
  check_derivative("d_sigmoid", sigmoid<Dual>, d_sigmoid<double>);
  check_derivative(
      "d_tanh", [](Dual x) { return tanh(x); }, d_tanh<double>);
  check_derivative("d_elu", elu<Dual>, d_elu<double>);
  check_derivative("d_hard_sigmoid", hard_sigmoid<Dual>, d_hard_sigmoid<double>);
}

template <class T>
void check_values() {
  // The library promises 1 u for exp and expm1; sigmoid rounds twice more.
  WorstError sigmoids("sigmoid", 2.5), elus("elu", 1.0);
  for (int i = 0; i < kCount; ++i) {
    const T x = static_cast<T>(60 * uniform(i) - 30);
    const long double exact = static_cast<long double>(x);
    sigmoids.add(ulps(sigmoid(x), 1 / (1 + std::exp(-exact))), static_cast<double>(x));
    elus.add(ulps(elu(x), x > 0 ? exact : std::expm1(exact)), static_cast<double>(x));
  }
  sigmoids.report(__FILE__, __LINE__);
  elus.report(__FILE__, __LINE__);
}

TEST(values_in_float) { check_values<float>(); }
TEST(values_in_double) { check_values<double>(); }

template <class T>
void check_extremes() {
  const T infinity = std::numeric_limits<T>::infinity();
  for (const T large : {T(1000), T(1e30), infinity}) {
    CHECK_EQUAL(sigmoid(large), T(1));
    CHECK_EQUAL(sigmoid(-large), T(0));
    CHECK_EQUAL(elu(large), large);
    CHECK_EQUAL(elu(-large), T(-1));
    CHECK_EQUAL(hard_sigmoid(large), T(1));
    CHECK_EQUAL(hard_sigmoid(-large), T(0));
  }
  CHECK(std::isnan(sigmoid(std::numeric_limits<T>::quiet_NaN())));
  CHECK(std::isnan(elu(std::numeric_limits<T>::quiet_NaN())));
}

TEST(extremes) {
  check_extremes<float>();
  check_extremes<double>();
}

/// clip(0.2 x + 0.5, 0, 1), flat from the clip points on.
TEST(hard_sigmoid_and_its_corners) {
  CHECK_EQUAL(hard_sigmoid(0.0), 0.5);
  CHECK_NEAR(hard_sigmoid(1.0), 0.7, 1e-16);
  CHECK_EQUAL(hard_sigmoid(2.5), 1.0);
  CHECK_EQUAL(hard_sigmoid(-2.5), 0.0);
  CHECK_EQUAL(d_hard_sigmoid(0.0), 0.0);
  CHECK_EQUAL(d_hard_sigmoid(1.0), 0.0);
  CHECK_EQUAL(d_hard_sigmoid(0.5), 0.2);
  CHECK_EQUAL(d_hard_sigmoid(std::nextafter(1.0, 0.0)), 0.2);
}

TEST(elu_at_zero_has_slope_one) {
  CHECK_EQUAL(elu(0.0), 0.0);
  CHECK_EQUAL(d_elu(0.0), 1.0);
}

TEST(choices) {
  CHECK_EQUAL(select(0.0, 1.0, 2.0), 2.0);
  CHECK_EQUAL(select(-1.0, 1.0, 2.0), 1.0);
  CHECK_EQUAL(where_positive(0.0, 1.0, 2.0), 2.0);
  CHECK_EQUAL(where_positive(1e-300, 1.0, 2.0), 1.0);
  CHECK_EQUAL(max(-1.0f, 3.0f), 3.0f);
  CHECK_EQUAL(fma(2.0, 3.0, 4.0), 10.0);
}

}  // namespace
}  // namespace lookback
