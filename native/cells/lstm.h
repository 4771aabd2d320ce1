/// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
/// 2000).
///
///   z = W_x x_t + W_h h_{t-1} + b
///   i = s(z^i)    f = s(z^f + forgetBiasAdd)    o = s(z^o)    g = tanh(z^g)
///   c_t = f c_{t-1} + i g
///   h_t = o tanh(c_t)                                    s: logistic, or clip(0.2 v + 0.5, 0, 1)
///
/// Backward, with q = tanh(c_t) and dh, dc the gradients that arrive at h_t and c_t:
///   dc  += dh o (1 - q^2)
///   dz^o = dh q s'(o)    dz^i = dc g s'(i)    dz^f = dc c_{t-1} s'(f)    dz^g = dc i (1 - g^2)
///   dc_{t-1} = dc f      dh_{t-1} = dz W_h    dx_t = dz W_x
///
/// Saved per row and step: i, f, g, o (over z), c, h. tanh(c_t) is computed again, from f c_{t-1} +
/// i g, so that a step held by a mask differentiates what it computed and not what it kept. h_{t-1}
/// may be masked on its way into the product (extensions.h).
///
/// Deviations: none from the equations above. No peepholes. Two biases (b_x, b_h) get the same
/// gradient each.
#pragma once

#include <cmath>

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "cells/gates.h"

namespace lookback {

struct Lstm {
  static constexpr char kKey[] = "lstm";
  static constexpr bool kLayered = false;  ///< its spec describes a stack of layers
  static constexpr bool kUnitwise = true;
  enum Gate { kI, kF, kG, kO, kGates };

  int units = 0;
  bool hard = false;
  double forget_bias_add = 0;
  Slot z, c, h, dc, dh, dy;
  Linear gates;
  RecurrentInput recurrent;

  static bool accepts(const Spec& spec) { return spec.word("normalization", "none") == "none"; }
  static Lstm declare(const Spec& spec, Declaration& d);

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    x.linear(gates);
    if (hard) {
      forward_units<true>(x);
    } else {
      forward_units<false>(x);
    }
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    if (hard) {
      backward_units<true>(x);
    } else {
      backward_units<false>(x);
    }
    x.adjoint(gates);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}

 private:
  template <bool kHard, class X>
  HD void forward_units(X& x) const {
    using V = typename X::Number;
    const int H = units;
    const V add = V(forget_bias_add);
    const auto z_ = x.at(z), c_ = x.at(c), c_prev = x.at(c, -1), h_ = x.at(h);
    x.each(H, [=](auto r, int j) {
      const V i = gate<kHard>(r(z_, kI * H + j));
      const V f = gate<kHard>(r(z_, kF * H + j) + add);
      const V g = tanh(r(z_, kG * H + j));
      const V o = gate<kHard>(r(z_, kO * H + j));
      const V cell = fma(f, r(c_prev, j), i * g);
      r(z_, kI * H + j) = i;
      r(z_, kF * H + j) = f;
      r(z_, kG * H + j) = g;
      r(z_, kO * H + j) = o;
      r(c_, j) = cell;
      r(h_, j) = o * tanh(cell);
    });
  }

  template <bool kHard, class X>
  HD void backward_units(X& x) const {
    using V = typename X::Number;
    const int H = units;
    const auto z_ = x.at(z), c_prev = x.at(c, -1);
    const auto dh_ = x.at(dh), dc_ = x.at(dc), dc_prev = x.at(dc, -1), dy_ = x.at(dy);
    x.each(H, [=](auto r, int j) {
      const V i = r(z_, kI * H + j), f = r(z_, kF * H + j);
      const V g = r(z_, kG * H + j), o = r(z_, kO * H + j);
      const V q = tanh(fma(f, r(c_prev, j), i * g));
      const V d_h = r(dh_, j) + r(dy_, j);
      const V d_c = fma(d_h * o, d_tanh(q), r(dc_, j));
      r(z_, kI * H + j) = d_c * g * d_gate<kHard>(i);
      r(z_, kF * H + j) = d_c * r(c_prev, j) * d_gate<kHard>(f);
      r(z_, kG * H + j) = d_c * i * d_tanh(g);
      r(z_, kO * H + j) = d_h * q * d_gate<kHard>(o);
      r(dc_prev, j) += d_c * f;
    });
  }
};

inline Lstm Lstm::declare(const Spec& spec, Declaration& d) {
  Lstm cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.units = H;
  cell.hard = spec.choice("recurrentActivation", {"sigmoid", "hardSigmoid"}) == 1;
  cell.forget_bias_add = spec.number("forgetBiasAdd", 0);
  const std::string order = gate_order(spec);
  const int bias = spec.choice("bias", {"double", "single", "none"});
  const int start = spec.choice("init", {"default", "pytorch", "keras"});
  const auto stored = [&](int gate) { return stored_gate(order, gate, H); };

  // Starts: section 3 of the baselines' document. "default" is PyTorch's with a forget bias of 1 in
  // total.
  const double limit = 1.0 / std::sqrt(static_cast<double>(H));
  Start kernel{Start::kUniform, limit}, square = kernel, bias_x = kernel, bias_h = kernel;
  if (start == 2) {
    kernel.value = std::sqrt(6.0 / (I + 4.0 * H));
    square.kind = Start::kOrthogonal;
    bias_x = bias_h = Start{};
  }
  if (start != 1) {
    bias_x.constant_begin = bias_h.constant_begin = stored(kF);
    bias_x.constant_end = bias_h.constant_end = stored(kF) + H;
    bias_x.constant = 1;
  }

  d.x = d.tape(I);
  d.dx = d.scratch(I);
  cell.z = d.tape(4 * H);
  cell.c = d.tape(H, 1);
  cell.h = d.tape(H, 1);
  cell.dh = d.carry(H);
  cell.dc = d.carry(H);
  cell.dy = d.scratch(H);
  d.y = cell.h;
  d.dy = cell.dy;
  d.states = {{"h0", "h_n", cell.h, cell.dh}, {"c0", "c_n", cell.c, cell.dc}};
  cell.recurrent = RecurrentInput::declare(spec, d, cell.h, cell.dh);
  declare_extensions(spec, d);

  const int W_x = d.param("W_x", {4 * H, I}, kernel), W_h = d.param("W_h", {4 * H, H}, square);
  LinearInfo gates;
  gates.out = gates.d_out = cell.z;
  gates.rows = 4 * H;
  gates.sources = {{d.x, 0, d.dx, false}, cell.recurrent.source()};
  std::vector<int> biases;
  if (bias == 0) biases = {d.param("b_x", {4 * H}, bias_x), d.param("b_h", {4 * H}, bias_h)};
  if (bias == 1) biases = {d.param("b", {4 * H}, bias_x)};
  for (int gate = 0; gate < kGates; ++gate) {
    gates.blocks.push_back({W_x, stored(gate), 0, H, I, gate * H, 0});
    gates.blocks.push_back({W_h, stored(gate), 0, H, H, gate * H, 1});
    for (const int b : biases) gates.biases.push_back({b, stored(gate), H, gate * H});
  }
  cell.gates = d.linear(std::move(gates));
  declare_starts(spec, d);
  for (int gate = 0; gate < kGates; ++gate)
    d.named(std::string(1, "ifgo"[gate]), cell.z, gate * H, H);
  d.named("c", cell.c);
  d.named("h", cell.h);
  return cell;
}

}  // namespace lookback
