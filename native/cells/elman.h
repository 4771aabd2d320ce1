/// The simple recurrence that several cells share (Elman 1990): one product and one function.
///
///   z = W_x x_t + R h_{t-1} + b        h_t = phi(z)
///
/// R is a parameter (rnn), or a matrix made from some (scornn, exprnn, enrnn). phi is tanh, relu,
/// the logistic function, the identity, or modReLU (Arjovsky et al. 2016, for real numbers):
///
///   modrelu(z) = sign(z) max(|z| + b, 0),  sign(0) = 0;  its bias is not added to z
///
/// Backward, all from phi(z) itself, here p: phi' is 1 - p^2, [p > 0], p (1 - p), 1 or [p != 0];
/// modReLU's bias gets dh sign(p).
///
/// Saved per row and step: p and h, which differ where a step was held. dz replaces p. h_{t-1} may
/// be masked on its way into the product (extensions.h).
#pragma once

#include "cells/cell.h"
#include "cells/extensions.h"
#include "math/scalar.h"

namespace lookback {

enum class ElmanActivation { kTanh, kRelu, kSigmoid, kIdentity, kModRelu };

struct Elman {
  int units = 0;
  ElmanActivation activation = ElmanActivation::kTanh;
  Slot p, h, dh, dy;
  Linear product, second;  ///< the second writes the rest of p, where the cell has one
  RecurrentInput recurrent;
  Vector bias;  ///< of modReLU
  Slot d_bias;

  template <class X>
  HD void begin(X&) const {}

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    x.linear(product);
    if (second.id >= 0) x.linear(second);
    activate(x);
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    activate_backward(x);
    x.adjoint(product);
    if (second.id >= 0) x.adjoint(second);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X&) const {}

 protected:
  /// h from the pre-activation z, which p holds.
  template <class X>
  HD void activate(X& x) const {
    using V = typename X::Number;
    switch (activation) {
      case ElmanActivation::kTanh:
        return apply(x, [](V z) { return tanh(z); });
      case ElmanActivation::kRelu:
        return apply(x, [](V z) { return where_positive(z, z, V(0)); });
      case ElmanActivation::kSigmoid:
        return apply(x, [](V z) { return sigmoid(z); });
      case ElmanActivation::kIdentity:
        return apply(x, [](V z) { return z; });
      case ElmanActivation::kModRelu:
        return apply_modrelu(x);
    }
  }

  /// p becomes the gradient of z.
  template <class X>
  HD void activate_backward(X& x) const {
    using V = typename X::Number;
    switch (activation) {
      case ElmanActivation::kTanh:
        differentiate(x, [](V q) { return d_tanh(q); });
        break;
      case ElmanActivation::kRelu:
        differentiate(x, [](V q) { return where_positive(q, V(1), V(0)); });
        break;
      case ElmanActivation::kSigmoid:
        differentiate(x, [](V q) { return d_sigmoid(q); });
        break;
      case ElmanActivation::kIdentity:
        differentiate(x, [](V) { return V(1); });
        break;
      case ElmanActivation::kModRelu:
        differentiate_modrelu(x);
        break;
    }
  }

  /// The slots of a recurrence of `size` units over `inputs` features, and its product without
  /// weights: source 0 is x_t, source 1 is h_{t-1}. The spec says what is around it (extensions.h).
  LinearInfo declare_slots(Declaration& d, int inputs, int size, const Spec& spec) {
    units = size;
    d.x = d.tape(inputs);
    d.dx = d.scratch(inputs);
    p = d.tape(size);
    h = d.tape(size, 1);
    dh = d.carry(size);
    dy = d.scratch(size);
    d.y = h;
    d.dy = dy;
    d.states = {{"h0", "h_n", h, dh}};
    recurrent = RecurrentInput::declare(spec, d, h, dh);
    declare_extensions(spec, d);
    d.named("p", p);
    d.named("h", h);
    LinearInfo info;
    info.out = info.d_out = p;
    info.rows = size;
    info.sources = {{d.x, 0, d.dx, false}, recurrent.source()};
    return info;
  }

 private:
  template <class X, class F>
  HD void apply(X& x, F f) const {
    const auto p_ = x.at(p), h_ = x.at(h);
    x.each(units, [=](auto r, int j) { r(h_, j) = r(p_, j) = f(r(p_, j)); });
  }

  template <class X>
  HD void apply_modrelu(X& x) const {
    using V = typename X::Number;
    const auto p_ = x.at(p), h_ = x.at(h);
    const auto b = x.vector(bias);
    x.each(units, [=](auto r, int j) {
      const V z = r(p_, j), up = z + V(b[j]), down = z - V(b[j]);
      const V above = where_positive(up, up, V(0)), below = where_positive(-down, down, V(0));
      r(h_, j) = r(p_, j) = where_positive(z, above, where_positive(-z, below, V(0)));
    });
  }

  template <class X, class F>
  HD void differentiate(X& x, F f) const {
    const auto p_ = x.at(p), dh_ = x.at(dh), dy_ = x.at(dy);
    x.each(units, [=](auto r, int j) { r(p_, j) = (r(dh_, j) + r(dy_, j)) * f(r(p_, j)); });
  }

  template <class X>
  HD void differentiate_modrelu(X& x) const {
    using V = typename X::Number;
    const auto p_ = x.at(p), dh_ = x.at(dh), dy_ = x.at(dy), db = x.at(d_bias);
    x.each(units, [=](auto r, int j) {
      const V out = r(p_, j), d = r(dh_, j) + r(dy_, j);
      const V above = where_positive(out, d, V(0)), below = where_positive(-out, d, V(0));
      r(p_, j) = above + below;
      r(db, j) += above - below;
    });
  }
};

}  // namespace lookback
