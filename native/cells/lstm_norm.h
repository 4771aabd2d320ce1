/// The LSTM with layer norm (Ba, Kiros, Hinton 2016); equations in normalized_lstm.h.
///
/// Each product is normalised over its 4H features together, with a gamma and no beta of its own:
/// b is the only shift. Parameters: gamma_x, gamma_h, b [4H], gamma_c, beta_c [H]. gamma starts at
/// 1, the shifts at 0 but for the forget gate's, which starts at 1.
///
/// Deviations: none from the paper's equations; it prints no epsilon, here it is 1e-5.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "cells/gates.h"
#include "cells/normalized_lstm.h"

namespace lookback {

struct LayerNormLstm : NormalizedLstm<NormKind::kLayer> {
  static constexpr char kKey[] = "lstm";

  static bool accepts(const Spec& spec) { return spec.word("normalization", "none") == "layer"; }
  static LayerNormLstm declare(const Spec& spec, Declaration& d);
};

inline LayerNormLstm LayerNormLstm::declare(const Spec& spec, Declaration& d) {
  LayerNormLstm cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.hard = spec.choice("recurrentActivation", {"sigmoid", "hardSigmoid"}) == 1;
  cell.forget_bias_add = spec.number("forgetBiasAdd", 0);
  const std::string order = gate_order(spec);
  const bool biased = spec.choice("bias", {"single", "none"}) == 0;
  const bool keras = spec.choice("init", {"default", "pytorch", "keras"}) == 2;
  cell.declare_slots(d, spec, I, H, order);

  Start kernel{Start::kUniform, 1.0 / std::sqrt(static_cast<double>(H))}, square = kernel;
  if (keras) {
    kernel.value = std::sqrt(6.0 / (I + 4.0 * H));
    square.kind = Start::kOrthogonal;
  }
  const Start one{Start::kConstant, 1};
  Start shift;
  shift.constant_begin = cell.at[kF];
  shift.constant_end = cell.at[kF] + H;
  shift.constant = 1;
  NormParams params;
  params.W_x = d.param("W_x", {4 * H, I}, kernel);
  params.W_h = d.param("W_h", {4 * H, H}, square);
  if (biased) params.b_h = d.param("b", {4 * H}, shift);
  params.gamma_x = d.param("gamma_x", {4 * H}, one);
  params.gamma_h = d.param("gamma_h", {4 * H}, one);
  const int gamma_c = d.param("gamma_c", {H}, one), beta_c = d.param("beta_c", {H});
  cell.products.declare(d, cell.act, cell.recurrent.source(), params);
  cell.norm_c = declare_site<NormKind::kLayer>(d, "c", H, gamma_c, beta_c);
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
