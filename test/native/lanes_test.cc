/// `Lanes` against long double and against the plain numbers. Compiled once per instruction set.
#include "math/lanes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "native/check.h"
#include "native/ulp.h"

namespace lookback {
namespace {

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

#if defined(__FMA__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

/// f of every number, as many side by side as a vector holds; the last vector is filled with ones.
template <class T, class F>
std::vector<T> over_lanes(const std::vector<T>& x, F f) {
  constexpr size_t kWidth = Lanes<T>::kWidth;
  std::vector<T> y;
  for (size_t i = 0; i < x.size(); i += kWidth) {
    alignas(64) T line[kWidth];
    const size_t filled = std::min(kWidth, x.size() - i);
    for (size_t k = 0; k < kWidth; ++k) line[k] = k < filled ? x[i + k] : T(1);
    f(Lanes<T>::load(line)).store(line);
    y.insert(y.end(), line, line + filled);
  }
  return y;
}

double uniform(uint64_t i) { return uniform_at(7, RandomUse::kCaller, 1, i); }

/// Numbers of both signs: spread evenly up to `largest`, and evenly over the exponents from 1e-37
/// (float) or 1e-307 (double) up to there.
template <class T>
std::vector<T> dense(double largest) {
  constexpr int kCount = 100000;
  const double smallest = std::log(static_cast<double>(std::numeric_limits<T>::min()) * 10);
  std::vector<T> x;
  for (uint64_t i = 0; i < kCount; ++i) {
    x.push_back(static_cast<T>(largest * (2 * uniform(2 * i) - 1)));
    const double exponent = smallest + (std::log(largest) - smallest) * uniform(2 * i + 1);
    x.push_back(static_cast<T>((i % 2 == 0 ? 1 : -1) * std::exp(exponent)));
  }
  return x;
}

template <class T, class F, class Exact>
void check_function(const char* name, const std::vector<T>& x, F f, Exact exact, double bound) {
  WorstError worst(name, bound);
  const std::vector<T> y = over_lanes(x, f);
  for (size_t i = 0; i < x.size(); ++i) {
    worst.add(ulps(y[i], exact(static_cast<long double>(x[i]))), static_cast<double>(x[i]));
  }
  worst.report(__FILE__, __LINE__);
}

// Bounds in units in the last place (u). With m = e^r - 1, |r| <= 0.35 and |m| <= 0.42:
//   r   rounds once, to 0.5 u of r: two fused steps, the first exact. Without fused steps n ln2Low
//       rounds as well: about 1 u.
//   m   carries the error of r, the polynomial's remainder (0.1 u in float) and two roundings of
//   its
//       own: below 2 u of m, 2.5 without fused steps. A u of m is at most half a u of the result
//       1 + m, which rounds once more.
constexpr double kExp = kFused ? 1.5 : 2.0;
// Where 2^n = 2 the sum 2 m + 1 cancels to 0.41: a u of m counts up to twice there, and near 0 the
// result is m itself.
constexpr double kExpm1 = kFused ? 3.0 : 4.0;
// The error of expm1 times the derivative of e / (e + 2), which is at most 1, and two roundings.
constexpr double kTanh = kExpm1 + 1.5;
// 1 / (1 + e): the error of exp counts with e / (1 + e) < 1, and two roundings.
constexpr double kSigmoid = kExp + 1.5;

template <class T>
void check_functions() {
  using V = Lanes<T>;
  using C = ExpConstants<T>;
  std::vector<T> inside = dense<T>(-static_cast<double>(C::kLowest));
  // The largest argument whose power still is a normal number; below, sigmoid is absolute.
  check_function<T>(
      "exp", inside, [](V x) { return exp(x); }, [](long double x) { return expl(x); }, kExp);
  check_function<T>(
      "expm1", inside, [](V x) { return expm1(x); }, [](long double x) { return expm1l(x); },
      kExpm1);
  check_function<T>(
      "tanh", dense<T>(50), [](V x) { return tanh(x); }, [](long double x) { return tanhl(x); },
      kTanh);
  check_function<T>(
      "sigmoid", inside, [](V x) { return sigmoid(x); },
      [](long double x) { return 1 / (1 + expl(-x)); }, kSigmoid);
  check_function<T>(
      "elu", inside, [](V x) { return elu(x); },
      [](long double x) { return x > 0 ? x : expm1l(x); }, kExpm1);
  // The library's own, which promises 1 u.
  std::vector<T> positive = inside;
  for (T& x : positive) x = std::abs(x);
  check_function<T>(
      "log", positive, [](V x) { return log(x); }, [](long double x) { return logl(x); }, 1.0);
  // IEEE 754 asks for the nearest number; the reference itself is off by 1/2048 u of double.
  check_function<T>(
      "sqrt", positive, [](V x) { return sqrt(x); }, [](long double x) { return sqrtl(x); }, 0.501);
}

TEST(functions_in_float) { check_functions<float>(); }
TEST(functions_in_double) { check_functions<double>(); }

/// Beyond the range where 2^n is a normal number e^x stays at the range's ends.
template <class T>
void check_saturation() {
  using V = Lanes<T>;
  using C = ExpConstants<T>;
  const std::vector<T> x = {C::kLowest - 1,  T(-1e30), -kInfinity<T>,
                            C::kHighest + 1, T(1e30),  kInfinity<T>};
  const std::vector<T> e = over_lanes(x, [](V v) { return exp(v); });
  const std::vector<T> ends =
      over_lanes(std::vector<T>{C::kLowest, C::kHighest}, [](V v) { return exp(v); });
  const std::vector<T> minus = over_lanes(x, [](V v) { return expm1(v); });
  const std::vector<T> t = over_lanes(x, [](V v) { return tanh(v); });
  const std::vector<T> s = over_lanes(x, [](V v) { return sigmoid(v); });
  const std::vector<T> u = over_lanes(x, [](V v) { return elu(v); });
  for (size_t i = 0; i < x.size(); ++i) {
    const bool low = i < 3;
    CHECK_EQUAL(e[i], ends[low ? 0 : 1]);
    CHECK_EQUAL(minus[i], low ? T(-1) : ends[1]);
    CHECK_EQUAL(t[i], low ? T(-1) : T(1));
    if (low) CHECK(s[i] >= 0 && s[i] <= std::numeric_limits<T>::min());
    if (!low) CHECK_EQUAL(s[i], T(1));
    CHECK_EQUAL(u[i], low ? T(-1) : x[i]);
  }
}

TEST(saturation_in_float) { check_saturation<float>(); }
TEST(saturation_in_double) { check_saturation<double>(); }

template <class T>
void check_exact_points() {
  using V = Lanes<T>;
  const T denormal = std::numeric_limits<T>::min() / 8;
  const std::vector<T> tiny = {T(0), T(-0.0), denormal, -denormal};
  for (const T y : over_lanes(tiny, [](V x) { return exp(x); })) CHECK_EQUAL(y, T(1));
  for (const T y : over_lanes(tiny, [](V x) { return sigmoid(x); })) CHECK_EQUAL(y, T(0.5));
  const std::vector<T> e = over_lanes(tiny, [](V x) { return expm1(x); });
  const std::vector<T> t = over_lanes(tiny, [](V x) { return tanh(x); });
  const std::vector<T> u = over_lanes(tiny, [](V x) { return elu(x); });
  for (size_t i = 0; i < tiny.size(); ++i) {
    CHECK_EQUAL(e[i], tiny[i]);
    CHECK_EQUAL(t[i], tiny[i]);
    CHECK_EQUAL(u[i], tiny[i]);
  }
  const auto is_nan = [](auto f) {
    for (const T y : over_lanes(std::vector<T>(Lanes<T>::kWidth, kNaN<T>), f)) CHECK(std::isnan(y));
  };
  is_nan([](V x) { return exp(x); });
  is_nan([](V x) { return expm1(x); });
  is_nan([](V x) { return tanh(x); });
  is_nan([](V x) { return sigmoid(x); });
  is_nan([](V x) { return elu(x); });
  is_nan([](V x) { return log(x); });
  is_nan([](V x) { return sqrt(x); });
  for (const T y : over_lanes(std::vector<T>{T(-1), -denormal}, [](V x) { return sqrt(x); })) {
    CHECK(std::isnan(y));
  }
  CHECK_EQUAL(sqrt(V(kInfinity<T>)).lane(0), kInfinity<T>);
  CHECK_EQUAL(log(V(0)).lane(0), -kInfinity<T>);
}

TEST(exact_points_in_float) { check_exact_points<float>(); }
TEST(exact_points_in_double) { check_exact_points<double>(); }

/// Equal, or both NaN, the sign of zero included.
template <class T>
bool same(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

/// What chooses between numbers chooses as the plain numbers do, also among the odd ones.
template <class T>
void check_choices() {
  using V = Lanes<T>;
  const T denormal = std::numeric_limits<T>::min() / 8;
  const std::vector<T> odd = {T(0),  T(-0.0), denormal,     -denormal,     T(1),
                              T(-1), T(1e30), kInfinity<T>, -kInfinity<T>, kNaN<T>};
  for (const T x : odd) {
    for (const T a : odd) {
      const T b = T(5);
      for (int lane = 0; lane < V::kWidth; ++lane) {
        CHECK(same(where_positive(V(x), V(a), V(b)).lane(lane), where_positive(x, a, b)));
        CHECK(same(select(V(x), V(a), V(b)).lane(lane), select(x, a, b)));
        CHECK(same(max(V(x), V(a)).lane(lane), max(x, a)));
        CHECK(same(hard_sigmoid(V(x)).lane(lane), hard_sigmoid(x)));
        CHECK(same(d_elu(V(x)).lane(lane), d_elu(x)));
      }
    }
  }
}

TEST(choices_in_float) { check_choices<float>(); }
TEST(choices_in_double) { check_choices<double>(); }

template <class T>
void check_arithmetic() {
  using V = Lanes<T>;
  static_assert(V::kWidth * sizeof(T) == kVectorBytes);
  static_assert(NumberTraits<V>::kLanes == V::kWidth);
  for (uint64_t i = 0; i < 1000; ++i) {
    const T a = static_cast<T>(2 * uniform(3 * i) - 1), b = static_cast<T>(uniform(3 * i + 1) - 3),
            c = static_cast<T>(5 * uniform(3 * i + 2));
    for (int lane = 0; lane < V::kWidth; ++lane) {
      CHECK_EQUAL((V(a) + V(b)).lane(lane), a + b);
      CHECK_EQUAL((V(a) - V(b)).lane(lane), a - b);
      CHECK_EQUAL((V(a) * V(b)).lane(lane), a * b);
      CHECK_EQUAL((V(a) / V(b)).lane(lane), a / b);
      CHECK_EQUAL((-V(a)).lane(lane), -a);
      CHECK_EQUAL(fma(V(a), V(b), V(c)).lane(lane), kFused ? std::fma(a, b, c) : a * b + c);
    }
  }
  CHECK(std::signbit(V(T(-0.0)).lane(0)));
  CHECK(std::isnan(V(kNaN<T>).lane(V::kWidth - 1)));
}

TEST(arithmetic_in_float) { check_arithmetic<float>(); }
TEST(arithmetic_in_double) { check_arithmetic<double>(); }

/// A lane's bits depend on that lane alone, whatever stands beside it.
template <class T>
void check_lanes_apart() {
  using V = Lanes<T>;
  const auto f = [](V x) { return tanh(x) + sigmoid(x) * elu(x) + exp(x); };
  for (uint64_t i = 0; i < 1000; ++i) {
    const T x = static_cast<T>(20 * uniform(i) - 10);
    const T alone = f(V(x)).lane(0);
    for (int lane = 0; lane < V::kWidth; ++lane) {
      alignas(64) T line[V::kWidth];
      for (int k = 0; k < V::kWidth; ++k) line[k] = k % 2 == 0 ? kNaN<T> : T(k);
      line[lane] = x;
      CHECK_EQUAL(f(V::load(line)).lane(lane), alone);
    }
  }
}

TEST(lanes_are_apart) {
  check_lanes_apart<float>();
  check_lanes_apart<double>();
}

/// A condition that NaN fails leaves the second: what keeps NaN through the clamps of `exp`.
template <class T>
void check_extremes() {
  using V = Lanes<T>;
  const T values[] = {T(-1), T(0), T(2), kInfinity<T>, -kInfinity<T>, kNaN<T>};
  for (const T a : values) {
    for (const T b : values) {
      const T most = lane(max(V(a), V(b)), 0), least = lane(min(V(a), V(b)), 0);
      const T expected_most = a > b ? a : b, expected_least = a < b ? a : b;
      CHECK(std::isnan(expected_most) ? std::isnan(most) : most == expected_most);
      CHECK(std::isnan(expected_least) ? std::isnan(least) : least == expected_least);
    }
  }
}

TEST(extremes_and_nan) {
  check_extremes<float>();
  check_extremes<double>();
}

}  // namespace
}  // namespace lookback
