/// expRNN (Lezcano-Casado, Martinez-Rubio 2019) and its dynamic trivialisation (Lezcano-Casado
/// 2019): an orthogonal recurrent matrix by the exponential of a skew-symmetric one.
///
///   W = base map(A)     A = triu(P, 1) - triu(P, 1)^T, map = exp or (I + A)^{-1} (I - A)
///   z_t = x_t W_x^T + h_{t-1} W       (side "left", the paper's: h_{t-1} W^T)
///   h_t = modReLU(z_t; b)             or relu, tanh, sigmoid, identity of z_t + b
///
/// Backward: the recurrence's is elman.h's; P's once an update, in
/// parametrization/trivialisation.h.
///
/// Deviations: after a rebase the gradient is taken at the new coordinates; `rebaseGradient`
/// "stale" is the published program, which still uses the old ones.
#pragma once

#include "cells/orthogonal.h"
#include "parametrization/trivialisation.h"

namespace lookback {

struct Exprnn : OrthogonalElman {
  static constexpr char kKey[] = "exprnn";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;
  using Loop = Elman;  ///< whose programs it has, without any of its own

  static bool accepts(const Spec&) { return true; }
  static Exprnn declare(const Spec& spec, Declaration& d);

 private:
  static Start start_of(const Spec& spec, int n);
};

/// `init` "cayley": blocks with upper entries -tan(t / 2), t uniform in [0, pi / 2]; "henaff":
/// uniform in [-pi, pi), the angles of rotation under exp. Above the diagonal only.
inline Start Exprnn::start_of(const Spec& spec, int n) {
  const bool henaff = spec.choice("init", {"cayley", "henaff"}) == 1;
  const double sign = init_sign(spec, "negative");
  Start start{Start::kCustom};
  start.fill = [=](const std::function<double(int64_t)>& uniform, double* P) {
    std::fill_n(P, int64_t{n} * n, 0.0);
    for (int j = 0; j + 1 < n; j += 2) {
      const double u = uniform(j / 2);
      P[int64_t{j} * n + j + 1] = henaff ? kPi * (2 * u - 1) : sign * half_angle_tangent(u);
    }
  };
  return start;
}

inline Exprnn Exprnn::declare(const Spec& spec, Declaration& d) {
  Exprnn cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            n = spec.integer("units", 0, 1, kMaxUnits);
  cell.activation = activation_of(spec);
  LinearInfo product = cell.declare_slots(d, I, n, spec);
  const int P = d.param("P", {n, n}, start_of(spec, n));
  const int base = d.fixed_param("base", {n, n}, {Start::kIdentity});
  // Kaiming normal: gain sqrt(2), fan in.
  const int W_x = d.param("W_x", {n, I}, {Start::kNormal, std::sqrt(2.0 / I)});
  cell.declare_bias(d, product, spec.flag("bias", true), {Start::kUniform, 0.01});
  const int W = d.derived("W", {n, n});
  d.told("A", {n, n});
  d.parametrization =
      std::make_shared<Trivialisation>(trivialisation_options(spec, n), std::vector<int>{P, base});
  product.blocks = {{W_x, 0, 0, n, I, 0, 0}, {W, 0, 0, n, n, 0, 1, 0, right_side(spec)}};
  cell.product = d.linear(std::move(product));
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
