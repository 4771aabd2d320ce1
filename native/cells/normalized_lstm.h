/// The normalised LSTM that two cells share: with layer norm (Ba, Kiros, Hinton 2016) and with
/// batch norm (Cooijmans et al. 2017).
///
///   z = n_x(W_x x_t) + n_h(W_h h_{t-1}) + b
///   i, f, o = s(z^i), s(z^f + forgetBiasAdd), s(z^o)        g = tanh(z^g)
///   c_t = f c_{t-1} + i g                                   never normalised inside the recurrence
///   h_t = o tanh(n_c(c_t))
///
/// Backward, with q = tanh(n_c(c_t)) and dh, dc the gradients that arrive at h_t and c_t:
///   dz^o = dh q s'(o)        dc += n_c'(dh o (1 - q^2)), through the norm
///   dz^i = dc g s'(i)        dz^f = dc c_{t-1} s'(f)        dz^g = dc i (1 - g^2)
///   dc_{t-1} = dc f          and dz goes back through both norms and products (norm_products.h)
///
/// Saved per row and step: i, f, g, o (4H), both products (8H), c, h. c_t is made again from
/// f c_{t-1} + i g, so that a held step differentiates what it computed. Units of the gates stay in
/// the order in which they are stored, as gamma and b are read.
#pragma once

#include <string>

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "cells/gates.h"
#include "cells/norm.h"
#include "cells/norm_products.h"

namespace lookback {

template <NormKind kNorm>
struct NormalizedLstm {
  static constexpr bool kLayered = false;
  enum Gate { kI, kF, kG, kO, kGates };

  int units = 0;
  int at[kGates] = {};  ///< first unit of each gate
  bool hard = false;
  double forget_bias_add = 0;
  Slot act, c, h, dc, dh, dy, d_cell;
  NormProducts<kNorm> products;
  NormSite<kNorm> norm_c;
  RecurrentInput recurrent;

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    products.forward(x);
    if (hard) {
      update_cell<true>(x);
    } else {
      update_cell<false>(x);
    }
    const auto act_ = x.at(act), c_ = x.at(c), h_ = x.at(h);
    const int o = at[kO];
    norm_c.measure(x, [=](auto r, int j) { return r(c_, j); });
    const auto norm = norm_c.reader(x);
    x.each(units, [=](auto r, int j) { r(h_, j) = r(act_, o + j) * tanh(norm(r, j, r(c_, j))); });
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    if (hard) {
      cell_backward<true>(x);
    } else {
      cell_backward<false>(x);
    }
    products.share_gradient(x);
    products.backward(x);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}

 protected:
  /// Everything but parameters and products.
  void declare_slots(Declaration& d, const Spec& spec, int inputs, int size,
                     const std::string& order) {
    units = size;
    for (int gate = 0; gate < kGates; ++gate) at[gate] = stored_gate(order, gate, size);
    d.x = d.tape(inputs);
    d.dx = d.scratch(inputs);
    act = d.tape(kGates * size);
    c = d.tape(size, 1);
    h = d.tape(size, 1);
    dh = d.carry(size);
    dc = d.carry(size);
    dy = d.scratch(size);
    d_cell = d.scratch(size);
    d.y = h;
    d.dy = dy;
    d.states = {{"h0", "h_n", h, dh}, {"c0", "c_n", c, dc}};
    recurrent = RecurrentInput::declare(spec, d, h, dh);
    declare_extensions(spec, d);
    for (int gate = 0; gate < kGates; ++gate)
      d.named(std::string(1, "ifgo"[gate]), act, at[gate], size);
    d.named("c", c);
    d.named("h", h);
  }

 private:
  template <bool kHard, class X>
  HD void update_cell(X& x) const {
    using V = typename X::Number;
    const int i = at[kI], f = at[kF], g = at[kG], o = at[kO];
    const V add = V(forget_bias_add);
    const auto act_ = x.at(act), c_ = x.at(c), c_prev = x.at(c, -1);
    const auto read = products.reader(x);
    x.each(units, [=](auto r, int j) {
      const V in = gate<kHard>(read.z(r, i + j)), keep = gate<kHard>(read.z(r, f + j) + add);
      const V fresh = tanh(read.z(r, g + j));
      r(act_, i + j) = in;
      r(act_, f + j) = keep;
      r(act_, g + j) = fresh;
      r(act_, o + j) = gate<kHard>(read.z(r, o + j));
      r(c_, j) = fma(keep, r(c_prev, j), in * fresh);
    });
  }

  template <bool kHard, class X>
  HD void cell_backward(X& x) const {
    using V = typename X::Number;
    const int i = at[kI], f = at[kF], g = at[kG], o = at[kO];
    const auto act_ = x.at(act), c_prev = x.at(c, -1), d_cell_ = x.at(d_cell);
    const auto dh_ = x.at(dh), dc_ = x.at(dc), dc_prev = x.at(dc, -1), dy_ = x.at(dy);
    const auto norm = norm_c.reader(x);
    const auto cell = [=](auto r, int j) {
      return fma(r(act_, f + j), r(c_prev, j), V(r(act_, i + j) * r(act_, g + j)));
    };
    x.each(units, [=](auto r, int j) {
      const V q = tanh(norm(r, j, cell(r, j))), out = r(act_, o + j), d = r(dh_, j) + r(dy_, j);
      r(d_cell_, j) = d * out * d_tanh(q);
      r(act_, o + j) = d * q * d_gate<kHard>(out);
    });
    norm_c.adjoint(x, d_cell_, 0, [=](auto r, int j) { return norm.hat(r, j, cell(r, j)); });
    x.each(units, [=](auto r, int j) {
      const V in = r(act_, i + j), keep = r(act_, f + j), fresh = r(act_, g + j);
      const V d = r(d_cell_, j) + r(dc_, j);
      r(act_, i + j) = d * fresh * d_gate<kHard>(in);
      r(act_, f + j) = d * r(c_prev, j) * d_gate<kHard>(keep);
      r(act_, g + j) = d * in * d_tanh(fresh);
      r(dc_prev, j) += d * keep;
    });
  }
};

}  // namespace lookback
