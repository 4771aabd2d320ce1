/// `Lanes<T, W>`: W numbers that are computed side by side, one batch row each, in the registers of
/// the instruction set this file is compiled for. Host only; nvcc's device pass never sees it.
///
/// The widths follow the instruction set: 16 lanes compiled for AVX2 spill and run ten times slower
/// than 8. Functions here are templates over Lanes types of this inline namespace, so every
/// instruction set has its own.
#pragma once

#include <cstdint>
#include <cstring>

#include "math/scalar.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace lookback {
inline namespace LOOKBACK_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// g++ 12 mishandles vector_size on types that depend on a template parameter, hence one trait per
// scalar.
template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Int = int32_t;
  typedef float Type __attribute__((vector_size(kVectorBytes), may_alias));
  typedef int32_t IntType __attribute__((vector_size(kVectorBytes), may_alias));
};
template <>
struct VectorOf<double> {
  using Int = int64_t;
  typedef double Type __attribute__((vector_size(kVectorBytes), may_alias));
  typedef int64_t IntType __attribute__((vector_size(kVectorBytes), may_alias));
};

template <class T>
struct Lanes {
  using Vector = typename VectorOf<T>::Type;
  static constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T));
  Vector v;

  Lanes() = default;
  HD Lanes(Vector vector) : v(vector) {}
  template <class Number, class = decltype(static_cast<T>(Number()))>
  HD explicit Lanes(Number x) : v(static_cast<T>(x) - Vector{}) {}

  HD static Lanes load(const T* p) { return Lanes(*reinterpret_cast<const Vector*>(p)); }
  HD void store(T* p) const { *reinterpret_cast<Vector*>(p) = v; }
  HD T lane(int i) const { return v[i]; }

  HD friend Lanes operator+(Lanes a, Lanes b) { return Lanes(a.v + b.v); }
  HD friend Lanes operator-(Lanes a, Lanes b) { return Lanes(a.v - b.v); }
  HD friend Lanes operator*(Lanes a, Lanes b) { return Lanes(a.v * b.v); }
  HD friend Lanes operator/(Lanes a, Lanes b) { return Lanes(a.v / b.v); }
  HD friend Lanes operator-(Lanes a) { return Lanes(-a.v); }
  HD Lanes& operator+=(Lanes b) {
    v += b.v;
    return *this;
  }
  HD Lanes& operator-=(Lanes b) {
    v -= b.v;
    return *this;
  }
  HD Lanes& operator*=(Lanes b) {
    v *= b.v;
    return *this;
  }
};

/// a * b + c, rounded once where the instruction set can. Contraction is off everywhere else
/// (-ffp-contract=off), so a row's bits never depend on how the compiler happened to schedule one
/// tile.
HD Lanes<float> fma(Lanes<float> a, Lanes<float> b, Lanes<float> c) {
#if defined(__AVX512F__)
  return Lanes<float>(Lanes<float>::Vector(_mm512_fmadd_ps(a.v, b.v, c.v)));
#elif defined(__FMA__)
  return Lanes<float>(Lanes<float>::Vector(_mm256_fmadd_ps(a.v, b.v, c.v)));
#else
  return a * b + c;
#endif
}
HD Lanes<double> fma(Lanes<double> a, Lanes<double> b, Lanes<double> c) {
#if defined(__AVX512F__)
  return Lanes<double>(Lanes<double>::Vector(_mm512_fmadd_pd(a.v, b.v, c.v)));
#elif defined(__FMA__)
  return Lanes<double>(Lanes<double>::Vector(_mm256_fmadd_pd(a.v, b.v, c.v)));
#else
  return a * b + c;
#endif
}

template <class T>
HD Lanes<T> where_positive(Lanes<T> x, Lanes<T> a, Lanes<T> b) {
  return Lanes<T>(x.v > 0 ? a.v : b.v);
}
template <class T>
HD Lanes<T> select(Lanes<T> mask, Lanes<T> a, Lanes<T> b) {
  return Lanes<T>(mask.v != 0 ? a.v : b.v);
}
/// a > b ? a : b, and so b where either is NaN; `min` likewise. Compilers make two instructions of
/// the condition where there is one for it.
HD Lanes<float> max(Lanes<float> a, Lanes<float> b) {
#if defined(__AVX512F__)
  return Lanes<float>(Lanes<float>::Vector(_mm512_maskz_max_ps(0xffff, a.v, b.v)));
#elif defined(__AVX2__)
  return Lanes<float>(Lanes<float>::Vector(_mm256_max_ps(a.v, b.v)));
#else
  return Lanes<float>(a.v > b.v ? a.v : b.v);
#endif
}
HD Lanes<double> max(Lanes<double> a, Lanes<double> b) {
#if defined(__AVX512F__)
  return Lanes<double>(Lanes<double>::Vector(_mm512_maskz_max_pd(0xff, a.v, b.v)));
#elif defined(__AVX2__)
  return Lanes<double>(Lanes<double>::Vector(_mm256_max_pd(a.v, b.v)));
#else
  return Lanes<double>(a.v > b.v ? a.v : b.v);
#endif
}
HD Lanes<float> min(Lanes<float> a, Lanes<float> b) {
#if defined(__AVX512F__)
  return Lanes<float>(Lanes<float>::Vector(_mm512_maskz_min_ps(0xffff, a.v, b.v)));
#elif defined(__AVX2__)
  return Lanes<float>(Lanes<float>::Vector(_mm256_min_ps(a.v, b.v)));
#else
  return Lanes<float>(a.v < b.v ? a.v : b.v);
#endif
}
HD Lanes<double> min(Lanes<double> a, Lanes<double> b) {
#if defined(__AVX512F__)
  return Lanes<double>(Lanes<double>::Vector(_mm512_maskz_min_pd(0xff, a.v, b.v)));
#elif defined(__AVX2__)
  return Lanes<double>(Lanes<double>::Vector(_mm256_min_pd(a.v, b.v)));
#else
  return Lanes<double>(a.v < b.v ? a.v : b.v);
#endif
}

HD Lanes<float> sqrt(Lanes<float> x) {
#if defined(__AVX512F__)
  return Lanes<float>(Lanes<float>::Vector(_mm512_maskz_sqrt_ps(0xffff, x.v)));
#elif defined(__AVX2__)
  return Lanes<float>(Lanes<float>::Vector(_mm256_sqrt_ps(x.v)));
#else
  for (int i = 0; i < Lanes<float>::kWidth; ++i) x.v[i] = __builtin_sqrtf(x.v[i]);
  return x;
#endif
}
HD Lanes<double> sqrt(Lanes<double> x) {
#if defined(__AVX512F__)
  return Lanes<double>(Lanes<double>::Vector(_mm512_maskz_sqrt_pd(0xff, x.v)));
#elif defined(__AVX2__)
  return Lanes<double>(Lanes<double>::Vector(_mm256_sqrt_pd(x.v)));
#else
  for (int i = 0; i < Lanes<double>::kWidth; ++i) x.v[i] = __builtin_sqrt(x.v[i]);
  return x;
#endif
}

/// Constants of the exponential. e^x = 2^n (1 + q(r)) with n = round(x / ln 2), r = x - n ln 2, |r|
/// <= 0.3466, and q the Taylor polynomial of e^r - 1. Its remainder is below half a unit in the
/// last place: 0.3466^8/8! = 5e-9 of float's 6e-8 at degree 7, 0.3466^14/14! = 4e-18 of
/// double's 1.1e-16 at degree 13.
template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr int kDegree = 7;
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kMagic =
      12582912.0f;  ///< 1.5 * 2^23: adding it rounds to an integer in the low bits
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kLowest = -87.0f, kHighest = 88.3f;
};
template <>
struct ExpConstants<double> {
  static constexpr int kDegree = 13;
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kMagic = 6755399441055744.0;  ///< 1.5 * 2^52
  static constexpr double kLn2High = 6.93147180369123816490e-01,
                          kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kLowest = -708.0, kHighest = 709.4;
};

/// 1/k! for k = 0..13.
template <class T>
constexpr T kInverseFactorial[14] = {T(1.0),
                                     T(1.0),
                                     T(1.0 / 2),
                                     T(1.0 / 6),
                                     T(1.0 / 24),
                                     T(1.0 / 120),
                                     T(1.0 / 720),
                                     T(1.0 / 5040),
                                     T(1.0 / 40320),
                                     T(1.0 / 362880),
                                     T(1.0 / 3628800),
                                     T(1.0 / 39916800),
                                     T(1.0 / 479001600),
                                     T(1.0 / 6227020800.0)};

/// x, held to where 2^n is a normal number. NaN stays NaN.
template <class T>
HD Lanes<T> exponent(Lanes<T> x, T highest = ExpConstants<T>::kHighest) {
  return max(Lanes<T>(ExpConstants<T>::kLowest), min(Lanes<T>(highest), x));
}

/// Splits e^x = scale * (1 + m) with scale = 2^n and m = e^r - 1, for an `exponent`.
template <class T>
HD void split_exp(Lanes<T> x, Lanes<T>& scale, Lanes<T>& m) {
  using C = ExpConstants<T>;
  using V = Lanes<T>;
  using Ints = typename VectorOf<T>::IntType;
  const V shifted = fma(x, V(T(1.4426950408889634)), V(C::kMagic));
  const V n = shifted - V(C::kMagic);
  V r = fma(n, V(-C::kLn2High), x);
  r = fma(n, V(-C::kLn2Low), r);
  V q(kInverseFactorial<T>[C::kDegree]);
  UNROLL(16)
  for (int k = C::kDegree - 1; k >= 2; --k) q = fma(q, r, V(kInverseFactorial<T>[k]));
  m = fma(q * r, r, r);
  const Ints low = (Ints)shifted.v - (Ints)V(C::kMagic).v;
  const Ints bits = (low + C::kBias) << C::kMantissaBits;
  scale = V((typename V::Vector)bits);
}

/// e^x, off by at most 1.1 units in the last place. Results below 1e-38 (float) or 1e-307 (double)
/// become that instead of 0, and those above 2e38 or 1e308 become that instead of infinite. The
/// errors given here are the worst of 200 000 points for every number type and instruction set, as
/// test/native/lanes_test.cc prints them.
template <class T>
HD Lanes<T> exp(Lanes<T> x) {
  Lanes<T> scale, m;
  split_exp(exponent(x), scale, m);
  return fma(scale, m, scale);
}

/// e^x - 1, off by at most 1.9 units in the last place also near 0: there 2^n = 1 and the result is
/// m itself.
template <class T>
HD Lanes<T> expm1(Lanes<T> x) {
  Lanes<T> scale, m;
  split_exp(exponent(x), scale, m);
  return fma(scale, m, scale - Lanes<T>(1));
}

/// (e^2x - 1) / (e^2x + 1), off by at most 2.5 units in the last place also near 0. Beyond |x| = 20
/// it is 1 to the last bit.
template <class T>
HD Lanes<T> tanh(Lanes<T> x) {
  using V = Lanes<T>;
  V scale, m;
  split_exp(exponent(x + x, T(40)), scale, m);
  const V e = fma(scale, m, scale - V(1));
  return e / (e + V(2));
}

}  // namespace LOOKBACK_ISA

/// Natural logarithm, lane by lane: only the attention's log-sum-exp needs it, once per row, head
/// and step.
template <class T>
HD Lanes<T> log(Lanes<T> x) {
  for (int i = 0; i < Lanes<T>::kWidth; ++i) x.v[i] = log(x.v[i]);
  return x;
}

/// Number i of a vector of rows.
template <class T>
HD T lane(Lanes<T> x, int i) {
  return x.v[i];
}

template <class T>
struct NumberTraits<Lanes<T>> {
  using Scalar = T;
  static constexpr int kLanes = Lanes<T>::kWidth;
};

}  // namespace lookback
