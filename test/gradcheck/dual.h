/// Forward-mode differentiation: a value and its derivative along one direction. A function that is
/// a template over the number type computes both when it is run on these, which is what the
/// hand-written backward passes are judged by.
#pragma once

#include <cmath>
#include <type_traits>

#include "base/portable.h"

namespace lookback {

struct Dual {
  double v = 0;  ///< value
  double d = 0;  ///< derivative

  Dual() = default;
  constexpr Dual(double value, double derivative) : v(value), d(derivative) {}
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  constexpr explicit Dual(Number value) : v(static_cast<double>(value)) {}

  friend Dual operator+(Dual a, Dual b) { return {a.v + b.v, a.d + b.d}; }
  friend Dual operator-(Dual a, Dual b) { return {a.v - b.v, a.d - b.d}; }
  friend Dual operator*(Dual a, Dual b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
  friend Dual operator*(Dual a, double b) { return {a.v * b, a.d * b}; }
  friend Dual operator/(Dual a, Dual b) {
    const double q = a.v / b.v;
    return {q, (a.d - q * b.d) / b.v};
  }
  friend Dual operator-(Dual a) { return {-a.v, -a.d}; }
  Dual& operator+=(Dual b) { return *this = *this + b; }
  Dual& operator-=(Dual b) { return *this = *this - b; }
  Dual& operator*=(Dual b) { return *this = *this * b; }

  friend bool operator==(Dual a, Dual b) { return a.v == b.v; }
  friend bool operator!=(Dual a, Dual b) { return a.v != b.v; }
  friend bool operator>(Dual a, Dual b) { return a.v > b.v; }
  friend bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
};

inline Dual exp(Dual x) { return {std::exp(x.v), std::exp(x.v) * x.d}; }
inline Dual expm1(Dual x) { return {std::expm1(x.v), std::exp(x.v) * x.d}; }
inline Dual log(Dual x) { return {std::log(x.v), x.d / x.v}; }
inline Dual sqrt(Dual x) { return {std::sqrt(x.v), x.d / (2 * std::sqrt(x.v))}; }
inline Dual tanh(Dual x) {
  const double t = std::tanh(x.v);
  return {t, (1 - t * t) * x.d};
}
inline Dual fma(Dual a, Dual b, Dual c) { return a * b + c; }
inline Dual max(Dual a, Dual b) { return a.v > b.v ? a : b; }
inline Dual select(Dual mask, Dual a, Dual b) { return mask.v != 0 ? a : b; }
inline Dual where_positive(Dual x, Dual a, Dual b) { return x.v > 0 ? a : b; }
inline Dual lane(Dual x, int) { return x; }

}  // namespace lookback
