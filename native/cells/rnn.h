/// The plain recurrent network (Elman 1990).
///
///   h_t = phi(W_x x_t + W_h h_{t-1} + b),   phi = tanh or relu
///
/// Deviations: none. Two biases (b_x, b_h) get the same gradient each. init 'identity' is the IRNN
/// of Le, Jaitly, Hinton 2015: W_h = I, biases 0, W_x normal with deviation 0.001, made for relu.
#pragma once

#include <cmath>

#include "base/spec.h"
#include "cells/elman.h"

namespace lookback {

struct Rnn : Elman {
  static constexpr char kKey[] = "rnn";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;
  using Loop = Elman;  ///< whose programs it has, without any of its own

  static bool accepts(const Spec& spec) { return spec.word("normalization", "none") == "none"; }
  static Rnn declare(const Spec& spec, Declaration& d);
};

inline Rnn Rnn::declare(const Spec& spec, Declaration& d) {
  Rnn cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.activation = spec.choice("activation", {"tanh", "relu"}) == 1 ? ElmanActivation::kRelu
                                                                     : ElmanActivation::kTanh;
  const int bias = spec.choice("bias", {"double", "single", "none"});
  const int start = spec.choice("init", {"default", "keras", "identity"});

  LinearInfo product = cell.declare_slots(d, I, H, spec);
  // Starts: PyTorch's; Glorot and orthogonal as Keras has them; the IRNN's.
  const double limit = 1.0 / std::sqrt(static_cast<double>(H));
  Start kernel{Start::kUniform, limit}, square = kernel, biases = kernel;
  if (start == 1) {
    kernel.value = std::sqrt(6.0 / (I + H));
    square.kind = Start::kOrthogonal;
    biases = {};
  } else if (start == 2) {
    kernel = {Start::kNormal, 0.001};
    square.kind = Start::kIdentity;
    biases = {};
  }
  const int W_x = d.param("W_x", {H, I}, kernel), W_h = d.param("W_h", {H, H}, square);
  product.blocks = {{W_x, 0, 0, H, I, 0, 0}, {W_h, 0, 0, H, H, 0, 1}};
  if (bias == 0)
    product.biases = {{d.param("b_x", {H}, biases), 0, H, 0},
                      {d.param("b_h", {H}, biases), 0, H, 0}};
  if (bias == 1) product.biases = {{d.param("b", {H}, biases), 0, H, 0}};
  cell.product = d.linear(std::move(product));
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
