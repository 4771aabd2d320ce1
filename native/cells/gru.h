/// Gated recurrent unit (Cho et al. 2014; the reset gate behind the product as cuDNN and PyTorch
/// have it).
///
///   reset 'after':   [r z] = s(W_x x_t + b_x + W_h h' + b_h)        h' = h_{t-1}
///                    v = W_hn h' + b_hn     n = tanh(W_xn x_t + b_xn + r v)
///   reset 'before':  [r z] = s(W_x x_t + b_x + W_h h')
///                    v = r h'               n = tanh(W_xn x_t + b_xn + W_hn v)
///   h_t = u h' + (1 - u) n,  u = z (update 'keep') or 1 - z (update 'write')      s: logistic
///
/// Backward, with dh the gradient that arrives at h_t:
///   dz^n = dh (1 - u) (1 - n^2)     dz^z = +-dh (h' - n) z (1 - z)     dh' = dh u
///   after:   dz^r = dz^n v r (1 - r)      dv = dz^n r
///   before:  dv = dz^n W_hn               dz^r = dv h' r (1 - r)       dh' += dv r
///   and through the products: after, dv goes back through W_hn
///
/// Saved per row and step: r, z, n, v, h. The gradients replace r, z, n, v; h_t is made from
/// h_{t-1}, z and n, so that a step held by a mask differentiates what it computed. Each product is
/// made once: 6 H (I + H) operations a step.
/// h' may be masked on its way into the products (extensions.h), never in the sum that makes h_t.
///
/// Deviations: none. With reset 'before' a second bias would be the same as the first, so there is
/// one at most, b_x.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "math/scalar.h"

namespace lookback {

struct Gru {
  static constexpr char kKey[] = "gru";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;
  enum Gate { kR, kZ, kN, kGates };

  int units = 0;
  bool reset_after = true, write = false;
  Slot gates, n, v, h;  ///< gates: r, then z
  Slot dh, dy, dv;      ///< dv: reset 'before' only; else the gradient replaces v
  RecurrentInput recurrent;
  Linear gate_product, candidate, hidden;  ///< hidden: reset 'after' only

  static bool accepts(const Spec& spec) { return spec.word("normalization", "none") == "none"; }
  static Gru declare(const Spec& spec, Declaration& d);

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    x.linear(gate_product);
    if (reset_after) {
      x.linear(candidate);
      x.linear(hidden);
      open_after(x);
    } else {
      open_before(x);
      x.linear(candidate);
      finish_before(x);
    }
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
    x.adjoint(candidate);
    if (reset_after) {
      reset_after_backward(x);
      x.adjoint(hidden);
    } else {
      reset_before_backward(x);
    }
    x.adjoint(gate_product);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}

 private:
  void declare_products(Declaration& d, const Start& kernel, const Start& square,
                        const Start& biases, int bias, const std::string& order);

  template <class X>
  HD void open_after(X& x) const {
    const int H = units;
    const auto gates_ = x.at(gates), n_ = x.at(n), v_ = x.at(v);
    x.each(H, [=](auto r, int j) {
      const auto reset = sigmoid(r(gates_, j));
      r(gates_, j) = reset;
      r(gates_, H + j) = sigmoid(r(gates_, H + j));
      r(n_, j) = tanh(fma(reset, r(v_, j), r(n_, j)));
    });
  }

  template <class X>
  HD void open_before(X& x) const {
    const int H = units;
    const auto gates_ = x.at(gates), v_ = x.at(v), h_prev = recurrent.at(x);
    x.each(H, [=](auto r, int j) {
      const auto reset = sigmoid(r(gates_, j));
      r(gates_, j) = reset;
      r(gates_, H + j) = sigmoid(r(gates_, H + j));
      r(v_, j) = reset * r(h_prev, j);
    });
  }

  template <class X>
  HD void finish_before(X& x) const {
    const auto n_ = x.at(n);
    x.each(units, [=](auto r, int j) { r(n_, j) = tanh(r(n_, j)); });
  }

  template <bool kWrite, class X>
  HD void update(X& x) const {
    const int H = units;
    const auto gates_ = x.at(gates), n_ = x.at(n), h_ = x.at(h), h_prev = x.at(h, -1);
    x.each(H, [=](auto r, int j) {
      const auto z = r(gates_, H + j), fresh = r(n_, j), old = r(h_prev, j);
      r(h_, j) = kWrite ? fma(z, fresh - old, old) : fma(z, old - fresh, fresh);
    });
  }

  template <bool kWrite, class X>
  HD void update_backward(X& x) const {
    using V = typename X::Number;
    const int H = units;
    const auto gates_ = x.at(gates), n_ = x.at(n), h_prev = x.at(h, -1);
    const auto dh_ = x.at(dh), dh_prev = x.at(dh, -1), dy_ = x.at(dy);
    x.each(H, [=](auto r, int j) {
      const V z = r(gates_, H + j), fresh = r(n_, j), old = r(h_prev, j);
      const V d = r(dh_, j) + r(dy_, j), keep = kWrite ? V(1) - z : z;
      r(gates_, H + j) = d * (kWrite ? fresh - old : old - fresh) * d_sigmoid(z);
      r(n_, j) = d * (V(1) - keep) * d_tanh(fresh);
      r(dh_prev, j) += d * keep;
    });
  }

  template <class X>
  HD void reset_after_backward(X& x) const {
    const auto gates_ = x.at(gates), n_ = x.at(n), v_ = x.at(v);
    x.each(units, [=](auto r, int j) {
      const auto reset = r(gates_, j), d = r(n_, j);
      r(gates_, j) = d * r(v_, j) * d_sigmoid(reset);
      r(v_, j) = d * reset;
    });
  }

  template <class X>
  HD void reset_before_backward(X& x) const {
    const auto gates_ = x.at(gates), dv_ = x.at(dv);
    const auto h_prev = recurrent.at(x), dh_prev = recurrent.gradient(x);
    x.each(units, [=](auto r, int j) {
      const auto reset = r(gates_, j), d = r(dv_, j);
      r(gates_, j) = d * r(h_prev, j) * d_sigmoid(reset);
      r(dh_prev, j) += d * reset;
    });
  }
};

inline Gru Gru::declare(const Spec& spec, Declaration& d) {
  Gru cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  cell.units = H;
  cell.reset_after = spec.choice("reset", {"after", "before"}) == 0;
  cell.write = spec.choice("update", {"keep", "write"}) == 1;
  const std::string order = spec.choice("gateOrder", {"rzn", "zrn"}) == 0 ? "rzn" : "zrn";
  const int bias = cell.reset_after ? spec.choice("bias", {"double", "single", "none"})
                                    : 1 + spec.choice("bias", {"single", "none"});
  const int start = spec.choice("init", {"default", "pytorch", "keras"});

  // Starts: PyTorch's, under two names; Glorot and orthogonal over all gates as Keras has them.
  const double limit = 1.0 / std::sqrt(static_cast<double>(H));
  Start kernel{Start::kUniform, limit}, square = kernel, biases = kernel;
  if (start == 2) {
    kernel.value = std::sqrt(6.0 / (I + 3.0 * H));
    square.kind = Start::kOrthogonal;
    biases = {};
  }

  d.x = d.tape(I);
  d.dx = d.scratch(I);
  cell.gates = d.tape(2 * H);
  cell.n = d.tape(H);
  cell.v = d.tape(H);
  cell.h = d.tape(H, 1);
  cell.dh = d.carry(H);
  cell.dy = d.scratch(H);
  if (!cell.reset_after) cell.dv = d.scratch(H);
  d.y = cell.h;
  d.dy = cell.dy;
  d.states = {{"h0", "h_n", cell.h, cell.dh}};
  cell.recurrent = RecurrentInput::declare(spec, d, cell.h, cell.dh);
  declare_extensions(spec, d);
  cell.declare_products(d, kernel, square, biases, bias, order);
  declare_starts(spec, d);
  d.named("r", cell.gates, 0, H);
  d.named("z", cell.gates, H, H);
  d.named("n", cell.n);
  d.named("v", cell.v);
  d.named("h", cell.h);
  return cell;
}

inline void Gru::declare_products(Declaration& d, const Start& kernel, const Start& square,
                                  const Start& biases, int bias, const std::string& order) {
  const int I = d.x.size, H = units;
  const auto stored = [&](int gate) { return static_cast<int>(order.find("rzn"[gate])) * H; };
  const int W_x = d.param("W_x", {3 * H, I}, kernel), W_h = d.param("W_h", {3 * H, H}, square);
  const int b_x = bias < 2 ? d.param("b_x", {3 * H}, biases) : -1;
  const int b_h = bias < 1 ? d.param("b_h", {3 * H}, biases) : -1;
  const LinearSource input{d.x, 0, d.dx, true}, state = recurrent.source();

  LinearInfo product;
  product.out = product.d_out = gates;
  product.rows = 2 * H;
  product.sources = {input, state};
  for (const int gate : {kR, kZ}) {
    product.blocks.push_back({W_x, stored(gate), 0, H, I, gate * H, 0});
    product.blocks.push_back({W_h, stored(gate), 0, H, H, gate * H, 1});
    if (b_x >= 0) product.biases.push_back({b_x, stored(gate), H, gate * H});
    if (b_h >= 0) product.biases.push_back({b_h, stored(gate), H, gate * H});
  }
  gate_product = d.linear(std::move(product));

  LinearInfo fresh;
  fresh.out = fresh.d_out = n;
  fresh.rows = H;
  fresh.sources = {{d.x, 0, d.dx, false}};  // the first adjoint of a step assigns
  fresh.blocks = {{W_x, stored(kN), 0, H, I, 0, 0}};
  if (b_x >= 0) fresh.biases = {{b_x, stored(kN), H, 0}};
  if (reset_after) {
    LinearInfo old;
    old.rows = H;
    old.out = old.d_out = v;
    old.sources = {state};
    old.blocks = {{W_h, stored(kN), 0, H, H, 0, 0}};
    if (b_h >= 0) old.biases = {{b_h, stored(kN), H, 0}};
    hidden = d.linear(std::move(old));
  } else {
    fresh.sources.push_back({v, 0, dv, false});
    fresh.blocks.push_back({W_h, stored(kN), 0, H, H, 0, 1});
  }
  candidate = d.linear(std::move(fresh));
}

}  // namespace lookback
