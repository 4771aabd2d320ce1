/// scuRNN (Maduranga, Helfrich, Ye 2019): a complex recurrence with a unitary matrix, by the scaled
/// Cayley transform with trained phases. State [h_re (n) | h_im (n)].
///
///   W = (I + A)^{-1} (I - A) diag(e^(i theta))        A = A_re + i A_im skew-Hermitian
///   z_t = x_t (W_x_re + i W_x_im)^T + h_{t-1} W       (side "left": W^T, without conjugation)
///   r = sqrt(|z|^2 + e_in)   q = r + e_out   m = max(r + b, 0)   h_t = (m / q) z_t
///
/// Backward, from gx, gy of the two parts of h and z = x + i y:
///   a = gx x + gy y     gr = a ([m > 0] / q - m / q^2)
///   dx = (m / q) gx + gr x / r     dy = (m / q) gy + gr y / r     db = a [m > 0] / q
/// the matrix's once an update, in parametrization/complex_cayley.h.
///
/// Saved per row and step: z and h. dz replaces z. h_{t-1} may be masked on its way into the
/// product (extensions.h), a complex unit as a whole. Deviations: none from the authors' program;
/// with e_in = e_out = 0 a unit at z = 0 gives 0.
#pragma once

#include "cells/extensions.h"
#include "cells/orthogonal.h"
#include "math/scalar.h"
#include "parametrization/complex_cayley.h"

namespace lookback {

struct Scurnn {
  static constexpr char kKey[] = "scurnn";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;

  int units = 0;
  double eps_in = 1e-5, eps_out = 1e-5;
  Slot z, h, dh, dy;
  Linear product;
  RecurrentInput recurrent;
  Vector bias;
  Slot d_bias;

  static bool accepts(const Spec&) { return true; }
  static Scurnn declare(const Spec& spec, Declaration& d);

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    using V = typename X::Number;
    using S = typename X::S;
    recurrent.forward(x);
    x.linear(product);
    const auto z_ = x.at(z), h_ = x.at(h);
    const auto b = x.vector(bias);
    const int n = units;
    const V in = V(S(eps_in)), out = V(S(eps_out));
    x.each(n, [=](auto r, int j) {
      const V re = r(z_, j), im = r(z_, n + j);
      const V radius = sqrt(fma(re, re, fma(im, im, in))), q = radius + out;
      const V m = radius + V(b[j]);
      const V scale = where_positive(m, m, V(0)) / where_positive(q, q, V(1));
      r(h_, j) = scale * re;
      r(h_, n + j) = scale * im;
    });
  }

  template <class X>
  HD void backward(X& x) const {
    using V = typename X::Number;
    using S = typename X::S;
    recurrent.begin_backward(x);
    const auto z_ = x.at(z), dh_ = x.at(dh), dy_ = x.at(dy), db = x.at(d_bias);
    const auto b = x.vector(bias);
    const int n = units;
    const V in = V(S(eps_in)), out = V(S(eps_out));
    x.each(n, [=](auto r, int j) {
      const V re = r(z_, j), im = r(z_, n + j);
      const V gx = r(dh_, j) + r(dy_, j), gy = r(dh_, n + j) + r(dy_, n + j);
      const V radius = sqrt(fma(re, re, fma(im, im, in))), q = radius + out;
      const V length = where_positive(radius, radius, V(1));
      const V inverse = V(1) / where_positive(q, q, V(1));
      const V m = radius + V(b[j]), on = where_positive(m, inverse, V(0));
      const V scale = m * on, a = fma(gx, re, gy * im);
      const V gr = a * (on - scale * inverse) / length;
      r(z_, j) = fma(gr, re, scale * gx);
      r(z_, n + j) = fma(gr, im, scale * gy);
      r(db, j) += a * on;
    });
    x.adjoint(product);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}
};

inline Scurnn Scurnn::declare(const Spec& spec, Declaration& d) {
  Scurnn cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            n = spec.integer("units", 0, 1, kMaxUnits / 2);
  cell.units = n;
  cell.eps_in = spec.number("modReluEpsIn", 1e-5);
  cell.eps_out = spec.number("modReluEpsOut", 1e-5);
  REQUIRE(cell.eps_in >= 0 && cell.eps_out >= 0, kOption, "modReluEpsIn is ", cell.eps_in,
          " and modReluEpsOut is ", cell.eps_out, "; expected 0 or more");
  d.x = d.tape(I);
  d.dx = d.scratch(I);
  cell.z = d.tape(2 * n);
  cell.h = d.tape(2 * n, 1);
  cell.dh = d.carry(2 * n);
  cell.dy = d.scratch(2 * n);
  d.y = cell.h;
  d.dy = cell.dy;
  d.states = {{"h0", "h_n", cell.h, cell.dh}};
  cell.recurrent = RecurrentInput::declare(spec, d, cell.h, cell.dh, 2);
  declare_extensions(spec, d, 2);
  d.named("z_re", cell.z, 0, n);
  d.named("z_im", cell.z, n, n);
  d.named("h", cell.h);

  const double glorot = std::sqrt(6.0 / (I + 2 * n));
  Start phases{Start::kCustom};
  phases.fill = [n](const std::function<double(int64_t)>& uniform, double* theta) {
    for (int j = 0; j < n; ++j) theta[j] = 2 * kPi * uniform(j);
  };
  const int A_re = d.param("A_re", {n, n}, rotations_start(n, false, init_sign(spec, "negative")));
  const int A_im = d.param("A_im", {n, n}), theta = d.param("theta", {n}, phases);
  const int U_re = d.param("W_x_re", {n, I}, {Start::kUniform, glorot});
  const int U_im = d.param("W_x_im", {n, I}, {Start::kUniform, glorot});
  cell.bias = d.vector(d.param("b", {n}, {Start::kUniform, 0.01}), n);
  cell.d_bias = d.sum(cell.bias);
  if (spec.flag("sharedInitialState", true))
    d.states[0].param = d.param("initial.h0", {1, 2 * n}, {Start::kUniform, 0.01});
  const int W_re = d.derived("W_re", {n, n}), W_im = d.derived("W_im", {n, n});
  d.parametrization =
      std::make_shared<ScurnnWeights>(n, spec.choice("gradientScaling", {"author", "free"}) == 1,
                                      std::vector<int>{A_re, A_im, theta});

  // [h_re h_im] [ W_re W_im ; -W_im W_re ]
  const bool right = right_side(spec);
  LinearInfo product;
  product.out = product.d_out = cell.z;
  product.rows = 2 * n;
  product.sources = {{d.x, 0, d.dx, false}, cell.recurrent.source()};
  product.blocks = {{U_re, 0, 0, n, I, 0, 0},
                    {W_re, 0, 0, n, n, 0, 1, 0, right},
                    {W_im, 0, 0, n, n, 0, 1, n, right, -1},
                    {U_im, 0, 0, n, I, n, 0},
                    {W_im, 0, 0, n, n, n, 1, 0, right},
                    {W_re, 0, 0, n, n, n, 1, n, right}};
  cell.product = d.linear(std::move(product));
  return cell;
}

}  // namespace lookback
