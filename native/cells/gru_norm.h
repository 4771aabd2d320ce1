/// The gated recurrent unit with layer norm, for the reset gate behind the product:
///
///   zx = n_x(W_x x_t) + b_x       zh = n_h(W_h h') + b_h       h' = h_{t-1}
///   r, z = s(zx + zh)             n = tanh(zx^n + r zh^n)
///   h_t = u h' + (1 - u) n,  u = z (update 'keep') or 1 - z (update 'write')
///
/// Each product is normalised over its 3H features together. Backward as in gru.h up to the
/// gradients of zx (dr, dz, dn) and zh (dr, dz, dn r), which go back through the norms.
///
/// Saved per row and step: r, z, n (3H), both products (6H), h. Gates stay in their stored order.
#pragma once

#include <cmath>
#include <string>

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "cells/norm_products.h"
#include "math/scalar.h"

namespace lookback {

struct LayerNormGru {
  static constexpr char kKey[] = "gru";
  static constexpr bool kLayered = false;

  int units = 0;
  int at_r = 0, at_z = 0, at_n = 0;  ///< first unit of each gate
  bool write = false;
  Slot act, h, dh, dy;
  NormProducts<NormKind::kLayer> products;
  RecurrentInput recurrent;

  static bool accepts(const Spec& spec) {
    return spec.word("normalization", "none") == "layer" && spec.word("reset", "after") == "after";
  }
  static LayerNormGru declare(const Spec& spec, Declaration& d);

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    products.forward(x);
    if (write) {
      update<true>(x);
    } else {
      update<false>(x);
    }
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    if (write) {
      update_backward<true>(x);
    } else {
      update_backward<false>(x);
    }
    products.backward(x);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}

 private:
  template <bool kWrite, class X>
  HD void update(X& x) const {
    using V = typename X::Number;
    const int a = at_r, b = at_z, c = at_n;
    const auto act_ = x.at(act), h_ = x.at(h), h_prev = x.at(h, -1);
    const auto read = products.reader(x);
    x.each(units, [=](auto r, int j) {
      const V reset = sigmoid(read.z(r, a + j)), z = sigmoid(read.z(r, b + j));
      const V fresh = tanh(fma(reset, read.zh(r, c + j), read.zx(r, c + j))), old = r(h_prev, j);
      r(act_, a + j) = reset;
      r(act_, b + j) = z;
      r(act_, c + j) = fresh;
      r(h_, j) = kWrite ? fma(z, fresh - old, old) : fma(z, old - fresh, fresh);
    });
  }

  template <bool kWrite, class X>
  HD void update_backward(X& x) const {
    using V = typename X::Number;
    const int a = at_r, b = at_z, c = at_n;
    const auto act_ = x.at(act), h_prev = x.at(h, -1), d_zx = x.at(products.d_zx);
    const auto dh_ = x.at(dh), dh_prev = x.at(dh, -1), dy_ = x.at(dy);
    const auto read = products.reader(x);
    x.each(units, [=](auto r, int j) {
      const V reset = r(act_, a + j), z = r(act_, b + j), fresh = r(act_, c + j);
      const V d = r(dh_, j) + r(dy_, j), old = r(h_prev, j), keep = kWrite ? V(1) - z : z;
      const V dn = d * (V(1) - keep) * d_tanh(fresh);
      const V dr = dn * read.zh(r, c + j) * d_sigmoid(reset);
      const V dz = d * (kWrite ? fresh - old : old - fresh) * d_sigmoid(z);
      r(act_, a + j) = r(d_zx, a + j) = dr;
      r(act_, b + j) = r(d_zx, b + j) = dz;
      r(act_, c + j) = dn * reset;
      r(d_zx, c + j) = dn;
      r(dh_prev, j) += d * keep;
    });
  }
};

inline LayerNormGru LayerNormGru::declare(const Spec& spec, Declaration& d) {
  LayerNormGru cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.units = H;
  cell.write = spec.choice("update", {"keep", "write"}) == 1;
  const bool swapped = spec.choice("gateOrder", {"rzn", "zrn"}) == 1;
  cell.at_r = swapped ? H : 0;
  cell.at_z = swapped ? 0 : H;
  cell.at_n = 2 * H;
  const int bias = spec.choice("bias", {"double", "single", "none"});
  const bool keras = spec.choice("init", {"default", "pytorch", "keras"}) == 2;

  d.x = d.tape(I);
  d.dx = d.scratch(I);
  cell.act = d.tape(3 * H);
  cell.h = d.tape(H, 1);
  cell.dh = d.carry(H);
  cell.dy = d.scratch(H);
  d.y = cell.h;
  d.dy = cell.dy;
  d.states = {{"h0", "h_n", cell.h, cell.dh}};
  cell.recurrent = RecurrentInput::declare(spec, d, cell.h, cell.dh);
  declare_extensions(spec, d);

  Start kernel{Start::kUniform, 1.0 / std::sqrt(static_cast<double>(H))}, square = kernel;
  if (keras) {
    kernel.value = std::sqrt(6.0 / (I + 3.0 * H));
    square.kind = Start::kOrthogonal;
  }
  const Start one{Start::kConstant, 1};
  NormParams params;
  params.W_x = d.param("W_x", {3 * H, I}, kernel);
  params.W_h = d.param("W_h", {3 * H, H}, square);
  if (bias < 2) params.b_x = d.param("b_x", {3 * H});
  if (bias < 1) params.b_h = d.param("b_h", {3 * H});
  params.gamma_x = d.param("gamma_x", {3 * H}, one);
  params.gamma_h = d.param("gamma_h", {3 * H}, one);
  cell.products.declare(d, cell.act, cell.recurrent.source(), params);
  declare_starts(spec, d);
  d.named("r", cell.act, cell.at_r, H);
  d.named("z", cell.act, cell.at_z, H);
  d.named("n", cell.act, cell.at_n, H);
  d.named("h", cell.h);
  return cell;
}

}  // namespace lookback
