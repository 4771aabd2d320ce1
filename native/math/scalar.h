/// The scalar functions of all cells and their derivatives, for every number type V: `float` and
/// `double` here (a CUDA thread, the reference), `Lanes` in lanes.h (CPU), `Dual` in the tests.
///
/// Derivatives take the function's *output*: what a backward pass has at hand.
#pragma once

#include <cmath>

#include "base/portable.h"

namespace lookback {

/// The number type that arrays of V are made of in memory.
template <class V>
struct NumberTraits {
  using Scalar = V;
  static constexpr int kLanes = 1;
};

template <class V>
using ScalarOf = typename NumberTraits<V>::Scalar;

HD float exp(float x) { return ::expf(x); }
HD double exp(double x) { return ::exp(x); }
HD float expm1(float x) { return ::expm1f(x); }
HD double expm1(double x) { return ::expm1(x); }
HD float log(float x) { return ::logf(x); }
HD double log(double x) { return ::log(x); }
HD float sqrt(float x) { return ::sqrtf(x); }
HD double sqrt(double x) { return ::sqrt(x); }
HD float tanh(float x) { return ::tanhf(x); }
HD double tanh(double x) { return ::tanh(x); }
HD float max(float a, float b) { return a > b ? a : b; }
HD double max(double a, double b) { return a > b ? a : b; }
/// `a` where `mask` is not zero, else `b`.
HD float select(float mask, float a, float b) { return mask != 0 ? a : b; }
HD double select(double mask, double a, double b) { return mask != 0 ? a : b; }
/// `a` where x > 0, else `b`.
HD float where_positive(float x, float a, float b) { return x > 0 ? a : b; }
HD double where_positive(double x, double a, double b) { return x > 0 ? a : b; }

/// a * b + c, rounded once on a GPU. Not every host has a fused form for scalars, so the reference
/// spells it out. Elsewhere no compiler may contract: bits would depend on how it arranged a
/// kernel.
HD float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return ::fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
HD double fma(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return ::fma(a, b, c);
#else
  return a * b + c;
#endif
}
HD float lane(float x, int) { return x; }
HD double lane(double x, int) { return x; }

/// 1 / (1 + e^-x). Saturates without overflow: e^-x is finite or infinite, never NaN.
template <class V>
HD V sigmoid(V x) {
  return V(1) / (V(1) + exp(-x));
}

template <class V>
HD V d_sigmoid(V s) {
  return s * (V(1) - s);
}

template <class V>
HD V d_tanh(V t) {
  return V(1) - t * t;
}

/// clip(0.2 x + 0.5, 0, 1): the gates of Keras before 2.3.
template <class V>
HD V hard_sigmoid(V x) {
  const V line = V(0.2) * x + V(0.5);
  const V below_one = where_positive(V(1) - line, line, V(1));
  return where_positive(below_one, below_one, V(0));
}

/// 0.2 strictly inside the clip points, else 0.
template <class V>
HD V d_hard_sigmoid(V s) {
  return where_positive(s, where_positive(V(1) - s, V(0.2), V(0)), V(0));
}

/// x for x > 0, else e^x - 1.
template <class V>
HD V elu(V x) {
  return where_positive(x, x, expm1(x));
}

template <class V>
HD V d_elu(V e) {
  return where_positive(e, V(1), e + V(1));
}

}  // namespace lookback
