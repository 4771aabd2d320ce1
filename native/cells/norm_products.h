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
  bool pooled = false;  ///< one set of batch statistics of W_x x_t for all steps
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
  bool pooled = false;  ///< the statistics of W_x x are taken over all steps together
  Slot ux, uh;          ///< ux: not when joint
  Slot d_zx;            ///< the gradient of zx; this step only, or pooled at every step
  Slot dz;              ///< the cell's activations; in backward the gradient of zh
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
    pooled = params.pooled;
    d_zx = pooled ? d.tape(rows) : d.scratch(rows);
    LinearInfo fresh;
    fresh.out = fresh.d_out = ux;
    fresh.rows = rows;
    fresh.sources = {x};
    fresh.blocks = {{params.W_x, 0, 0, rows, d.x.size, 0, 0}};
    norm_x = declare_site<kNorm>(d, "x", rows, params.gamma_x, params.b_x);
    input = d.linear(std::move(fresh));
    if (!pooled) return;
    BatchSiteInfo& site = d.sites[static_cast<size_t>(norm_x.batch.id)];
    site.rows = 1;
    site.pooled = true;
    // A shift of zeros: nobody wants its gradient, but `settle` needs the sums that make it.
    norm_x.beta = d.constants(std::vector<double>(static_cast<size_t>(rows), 0.0));
    norm_x.d_beta = d.sum(norm_x.beta);
  }

  template <class X>
  HD void forward(X& x) const {
    x.linear(hidden);
    const auto uh_ = x.at(uh);
    norm_h.measure(x, [=](auto r, int j) { return r(uh_, j); });
    if (joint) return;
    x.linear(input);
    if (!pooled) measure_input(x);
  }

  /// One step of the pass before the loop, with pooled statistics.
  template <class X>
  HD void survey(X& x) const {
    x.linear(input);
    measure_input(x);
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
    if (pooled && x.training()) return keep_gradient(x);
    norm_x.adjoint(x, d, 0, [=](auto r, int j) { return read.norm_x.hat(r, j, r(ux_, j)); });
    x.each(rows, [=](auto r, int j) { r(ux_, j) = r(d, j); });
    x.adjoint(input);
  }

  /// After the loop, with pooled statistics: the sums over rows and steps of D = gamma d_zx and of
  /// D u^. The loop has summed each row's part over the steps.
  template <class X>
  HD const typename X::S* settle(X& x) const {
    using V = typename X::Number;
    const auto scale = x.vector(norm_x.gamma);
    const auto with_hat = x.at(norm_x.d_gamma), plain = x.at(norm_x.d_beta);
    return x.sums(rows, [=](auto r, int j, V& first, V& second) {
      first = V(scale[j]) * r(plain, j);
      second = V(scale[j]) * r(with_hat, j);
    });
  }
  /// Then, for every step, the gradients of W_x x and of x.
  template <class X>
  HD void settle_step(X& x, const typename X::S* totals, int steps) const {
    using V = typename X::Number;
    const auto read = reader(x);
    const auto scale = x.vector(norm_x.gamma), rstd = x.rstd(norm_x.batch);
    const auto d = x.at(d_zx), ux_ = x.at(ux);
    const int F = rows;
    const V inverse = V(1) / (V(x.batch_rows()) * V(steps));
    x.each(rows, [=](auto r, int j) {
      const V hat = read.norm_x.hat(r, j, r(ux_, j));
      const V apart = V(totals[j]) * inverse + hat * (V(totals[F + j]) * inverse);
      r(ux_, j) = V(rstd[j]) * (V(scale[j]) * r(d, j) - apart);
    });
    x.adjoint(input);
  }

 private:
  template <class X>
  HD void measure_input(X& x) const {
    const auto ux_ = x.at(ux);
    norm_x.measure(x, [=](auto r, int j) { return r(ux_, j); });
  }

  /// A step of the loop with pooled statistics leaves the rest to `settle`.
  template <class X>
  HD void keep_gradient(X& x) const {
    const auto read = reader(x);
    const auto d = x.at(d_zx), ux_ = x.at(ux);
    const auto with_hat = x.at(norm_x.d_gamma), plain = x.at(norm_x.d_beta);
    x.each(rows, [=](auto r, int j) {
      r(plain, j) += r(d, j);
      r(with_hat, j) += r(d, j) * read.norm_x.hat(r, j, r(ux_, j));
    });
  }
};

}  // namespace lookback
