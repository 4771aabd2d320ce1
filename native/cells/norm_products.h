/// The two products of a gated step, each normalised by itself before they meet:
///
///   zx = n_x(W_x x_t) + b_x        zh = n_h(W_h h_{t-1}) + b_h        (either bias may be absent)
///
/// or, `joint`, one norm over their sum: zx = 0, zh = n_h(W_x x_t + W_h h_{t-1}) + b_h.
///
/// Backward: from the gradients of zx and zh, which the cell leaves in d_zx and dz, to those of the
/// products (which then lie in ux and dz, where the weight gradients read them) and of their
/// sources.
///
/// Saved per row and step: both products, and what the norm keeps.
#pragma once

#include <string>
#include <vector>

#include "cells/cell.h"
#include "cells/norm.h"

namespace lookback {

/// Parameters of a NormProducts, by their numbers; -1: absent.
struct NormParams {
  int W_x = -1, W_h = -1, gamma_x = -1, gamma_h = -1, b_x = -1, b_h = -1;
};

/// A site on parameters that are declared.
template <NormKind kNorm>
NormSite<kNorm> declare_site(Declaration& d, const std::string& name, int features, int gamma,
                             int beta) {
  NormSite<kNorm> site;
  site.on = true;
  site.features = features;
  site.eps = d.batch_eps;
  site.gamma = d.vector(gamma, features);
  site.d_gamma = d.sum(site.gamma);
  if (beta >= 0) {
    site.beta = d.vector(beta, features);
    site.d_beta = d.sum(site.beta);
  }
  if constexpr (kNorm == NormKind::kLayer) site.row_stats = d.tape(2);
  if constexpr (kNorm == NormKind::kBatch) site.batch = d.batch_site(name, features);
  return site;
}

template <NormKind kNorm>
struct NormProducts {
  int rows = 0;
  bool joint = false;
  Slot ux, uh;  ///< ux: not when joint
  Slot d_zx;    ///< the gradient of zx; this step only
  Slot dz;      ///< the cell's activations; in backward the gradient of zh
  Linear input, hidden;
  NormSite<kNorm> norm_x, norm_h;

  /// `activations` [rows] is the cell's.
  void declare(Declaration& d, Slot activations, const LinearSource& state,
               const NormParams& params) {
    rows = activations.size;
    dz = activations;
    joint = params.gamma_x < 0;
    uh = d.tape(rows);
    const LinearSource x{d.x, 0, d.dx, false};
    LinearInfo old;
    old.out = uh;
    old.d_out = dz;
    old.rows = rows;
    old.sources = {state};
    old.blocks = {{params.W_h, 0, 0, rows, state.value.size, 0, 0}};
    if (joint) {
      old.sources.push_back(x);
      old.blocks.push_back({params.W_x, 0, 0, rows, d.x.size, 0, 1});
    }
    norm_h = declare_site<kNorm>(d, "h", rows, params.gamma_h, params.b_h);
    hidden = d.linear(std::move(old));
    if (joint) return;
    ux = d.tape(rows);
    d_zx = d.scratch(rows);
    LinearInfo fresh;
    fresh.out = fresh.d_out = ux;
    fresh.rows = rows;
    fresh.sources = {x};
    fresh.blocks = {{params.W_x, 0, 0, rows, d.x.size, 0, 0}};
    norm_x = declare_site<kNorm>(d, "x", rows, params.gamma_x, params.b_x);
    input = d.linear(std::move(fresh));
  }

  template <class X>
  HD void forward(X& x) const {
    x.linear(hidden);
    const auto uh_ = x.at(uh);
    norm_h.measure(x, [=](auto r, int j) { return r(uh_, j); });
    if (joint) return;
    x.linear(input);
    const auto ux_ = x.at(ux);
    norm_x.measure(x, [=](auto r, int j) { return r(ux_, j); });
  }

  /// Gives zx and zh at the context's step.
  template <class X>
  struct Reader {
    using V = typename X::Number;
    typename NormSite<kNorm>::template Reader<X> norm_x, norm_h;
    typename X::Column ux, uh;
    bool joint;

    template <class Row>
    HD V zx(Row r, int j) const {
      return joint ? V(0) : norm_x(r, j, r(ux, j));
    }
    template <class Row>
    HD V zh(Row r, int j) const {
      return norm_h(r, j, r(uh, j));
    }
    template <class Row>
    HD V z(Row r, int j) const {
      return joint ? zh(r, j) : zx(r, j) + zh(r, j);
    }
  };

  template <class X>
  HD Reader<X> reader(const X& x) const {
    const auto uh_ = x.at(uh);
    return {norm_x.reader(x), norm_h.reader(x), joint ? uh_ : x.at(ux), uh_, joint};
  }

  /// For cells whose z is zx + zh: the gradient of z, in dz, is that of both.
  template <class X>
  HD void share_gradient(X& x) const {
    if (joint) return;
    const auto from = x.at(dz), to = x.at(d_zx);
    x.each(rows, [=](auto r, int j) { r(to, j) = r(from, j); });
  }

  template <class X>
  HD void backward(X& x) const {
    const auto read = reader(x);
    norm_h.adjoint(x, x.at(dz), 0,
                   [=](auto r, int j) { return read.norm_h.hat(r, j, r(read.uh, j)); });
    x.adjoint(hidden);
    if (joint) return;
    const auto d = x.at(d_zx), ux_ = x.at(ux);
    norm_x.adjoint(x, d, 0, [=](auto r, int j) { return read.norm_x.hat(r, j, r(ux_, j)); });
    x.each(rows, [=](auto r, int j) { r(ux_, j) = r(d, j); });
    x.adjoint(input);
  }
};

}  // namespace lookback
