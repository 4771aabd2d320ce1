/// The plain recurrent network with layer norm:
///
///   h_t = phi(n_x(W_x x_t) + n_h(W_h h_{t-1}) + b)
///
/// Each product is normalised over its H features with a gamma and no beta of its own. The rest is
/// rnn.h, whose activations it shares; saved per row and step are both products besides.
#pragma once

#include <cmath>

#include "base/spec.h"
#include "cells/elman.h"
#include "cells/norm_products.h"

namespace lookback {

struct LayerNormRnn : Elman {
  static constexpr char kKey[] = "rnn";
  static constexpr bool kLayered = false;

  NormProducts<NormKind::kLayer> products;

  static bool accepts(const Spec& spec) { return spec.word("normalization", "none") == "layer"; }
  static LayerNormRnn declare(const Spec& spec, Declaration& d);

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    products.forward(x);
    const auto p_ = x.at(p);
    const auto read = products.reader(x);
    x.each(units, [=](auto r, int j) { r(p_, j) = read.z(r, j); });
    activate(x);
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    activate_backward(x);
    products.share_gradient(x);
    products.backward(x);
    recurrent.backward(x);
  }
};

inline LayerNormRnn LayerNormRnn::declare(const Spec& spec, Declaration& d) {
  LayerNormRnn cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.activation = spec.choice("activation", {"tanh", "relu"}) == 1 ? ElmanActivation::kRelu
                                                                     : ElmanActivation::kTanh;
  const bool biased = spec.choice("bias", {"single", "none"}) == 0;
  const int start = spec.choice("init", {"default", "keras", "identity"});
  cell.declare_slots(d, I, H, spec);

  Start kernel{Start::kUniform, 1.0 / std::sqrt(static_cast<double>(H))}, square = kernel;
  if (start == 1) {
    kernel.value = std::sqrt(6.0 / (I + H));
    square.kind = Start::kOrthogonal;
  } else if (start == 2) {
    kernel = {Start::kNormal, 0.001};
    square.kind = Start::kIdentity;
  }
  const Start one{Start::kConstant, 1};
  NormParams params;
  params.W_x = d.param("W_x", {H, I}, kernel);
  params.W_h = d.param("W_h", {H, H}, square);
  if (biased) params.b_h = d.param("b", {H});
  params.gamma_x = d.param("gamma_x", {H}, one);
  params.gamma_h = d.param("gamma_h", {H}, one);
  cell.products.declare(d, cell.p, cell.recurrent.source(), params);
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
