/// Arithmetic that one number turns into other arithmetic: what test/mutation/run.ts writes into a
/// copy of a cell's header. `a * b` becomes `a * Flip<7>() * b`, which is a + b in mutant 7 and
/// a * b in all others, with the same precedence; likewise + and -, * and /.
#pragma once

#include <cstdlib>
#include <type_traits>

namespace lookback {

/// The mutant of this run; -1: none.
inline const int kMutant =
    std::getenv("LOOKBACK_MUTANT") ? std::atoi(std::getenv("LOOKBACK_MUTANT")) : -1;

template <int kNumber>
struct Flip {
  static bool on() { return kMutant == kNumber; }
};

/// The left operand of an operator, on its way to the right one.
template <char kOperator, int kNumber, class Left>
struct Pending {
  Left left;
};

template <class Left, int kNumber>
Pending<'+', kNumber, std::decay_t<Left>> operator+(const Left& left, Flip<kNumber>) {
  return {left};
}
template <class Left, int kNumber>
Pending<'-', kNumber, std::decay_t<Left>> operator-(const Left& left, Flip<kNumber>) {
  return {left};
}
template <class Left, int kNumber>
Pending<'*', kNumber, std::decay_t<Left>> operator*(const Left& left, Flip<kNumber>) {
  return {left};
}
template <class Left, int kNumber>
Pending<'/', kNumber, std::decay_t<Left>> operator/(const Left& left, Flip<kNumber>) {
  return {left};
}

template <int kNumber, class Left, class Right>
auto operator+(Pending<'+', kNumber, Left> p, const Right& right) {
  return Flip<kNumber>::on() ? p.left - right : p.left + right;
}
template <int kNumber, class Left, class Right>
auto operator-(Pending<'-', kNumber, Left> p, const Right& right) {
  return Flip<kNumber>::on() ? p.left + right : p.left - right;
}
template <int kNumber, class Left, class Right>
auto operator*(Pending<'*', kNumber, Left> p, const Right& right) {
  return Flip<kNumber>::on() ? p.left + right : p.left * right;
}
template <int kNumber, class Left, class Right>
auto operator/(Pending<'/', kNumber, Left> p, const Right& right) {
  return Flip<kNumber>::on() ? p.left * right : p.left / right;
}

/// a * b + c, or a * b - c.
template <int kNumber, class A, class B, class C>
auto flip_fma(const A& a, const B& b, const C& c) {
  return Flip<kNumber>::on() ? fma(a, b, -c) : fma(a, b, c);
}

/// The right side of += and -=.
template <int kNumber, class Number>
Number flip_sign(Number number) {
  return Flip<kNumber>::on() ? -number : number;
}

}  // namespace lookback
