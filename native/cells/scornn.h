/// scoRNN (Helfrich, Willmott, Ye 2018): a recurrence whose matrix stays orthogonal, by the scaled
/// Cayley transform.
///
///   W = (I + A)^{-1} (I - A) D        A skew-symmetric, D = diag(d), d_i = +-1 fixed
///   z_t = x_t W_x^T + h_{t-1} W       (side "left", the paper's: h_{t-1} W^T)
///   h_t = modReLU(z_t; b)             or relu, tanh, sigmoid, identity of z_t + b
///
/// Backward: the recurrence's is elman.h's. Then once an update, from G = dL/dW (cayley.h):
///   S = I + Z^T     V = S (G D) S / 2     dA = V^T - V
/// The gradient of A is that of its free entries, each of which stands twice in it; it is
/// skew-symmetric bit for bit, and so A stays under every elementwise optimizer.
///
/// Deviations: W multiplies from the right as in the authors' program; `side` gives the paper's.
/// Re-signing (`resignAbove`) is not theirs.
#pragma once

#include "cells/orthogonal.h"
#include "parametrization/scaled_cayley.h"

namespace lookback {

struct Scornn : OrthogonalElman {
  static constexpr char kKey[] = "scornn";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;
  using Loop = Elman;  ///< whose programs it has, without any of its own

  static bool accepts(const Spec&) { return true; }
  static Scornn declare(const Spec& spec, Declaration& d);
};

inline Scornn Scornn::declare(const Spec& spec, Declaration& d) {
  Scornn cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            n = spec.integer("units", 0, 1, kMaxUnits);
  const int negatives = spec.integer("negatives", n / 2, 0, n);
  const bool packed = spec.choice("storage", {"full", "packed"}) == 1;
  REQUIRE(!packed || n > 1, kOption,
          "option storage is 'packed' with 1 unit, which has no rotation");
  cell.activation = activation_of(spec);

  LinearInfo product = cell.declare_slots(d, I, n, spec);
  const Start rotations = rotations_start(n, packed, init_sign(spec, "negative"));
  const int A = packed ? d.param("A_packed", {static_cast<int>(packed_size(n))}, rotations)
                       : d.param("A", {n, n}, rotations);
  const int signs = d.fixed_param("d", {n}, signs_start(n, negatives));
  const int W_x = d.param("W_x", {n, I}, {Start::kUniform, 0.01});
  cell.declare_bias(d, product, spec.flag("bias", true), {});
  const int W = d.derived("W", {n, n});
  d.parametrization = std::make_shared<ScornnWeights>(n, packed, spec.number("resignAbove", 0),
                                                      std::vector<int>{A, signs});
  product.blocks = {{W_x, 0, 0, n, I, 0, 0}, {W, 0, 0, n, n, 0, 1, 0, right_side(spec)}};
  cell.product = d.linear(std::move(product));
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
