/// The batch-normalised LSTM (Cooijmans, Ballas, Laurent, Gulcehre, Courville 2016,
/// arXiv:1603.09025); equations in normalized_lstm.h, with batch norm:
///
///   n(u) = beta + gamma (u - mean) / sqrt(var + eps),  mean and biased variance over the batch
///
/// gamma and beta are shared over time, statistics are separate for every step. In evaluation step
/// t uses the stored row min(t, tMax): beyond the training length the last one is repeated.
///
///   terms 'joint'         one norm over W_x x_t + W_h h_{t-1}, gamma_h alone
///   bnOutput false        h = o tanh(c), without gamma_c and beta_c
///   inputStats 'sequence' the statistics of W_x x_t are taken over all steps together: in training
///                         the product is made once more in a pass before the loop, and its norm is
///                         gone back through in one after it
///   initialState 'trained' h and c start from vectors h_start and c_start, the same for every row
///   initialNoise e         in training every row starts from h_0 + e N(0, 1): where the first
///   steps
///                         of all rows are alike their variance is none, and 1 / sqrt(eps) would
///                         blow up through time
///
/// Stored statistics: running = (1 - momentum) running + momentum batch, with the biased variance.
///
/// Deviations: none from the authors' program. With lengths, which it does not have, a step's
/// statistics are those of its active rows. A row that is alone is its own mean, so it moves the
/// running mean and leaves the running variance.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/spec.h"
#include "cells/gates.h"
#include "cells/normalized_lstm.h"

namespace lookback {

struct BnLstm : NormalizedLstm<NormKind::kBatch> {
  static constexpr char kKey[] = "bnlstm";

  static bool accepts(const Spec&) { return true; }
  static BnLstm declare(const Spec& spec, Declaration& d);

  /// Hooks of the loop over time, for statistics over all steps.
  template <class X>
  HD bool pools(const X& x) const {
    return products.pooled && x.training();
  }
  template <class X>
  HD void survey(X& x) const {
    products.survey(x);
  }
  template <class X>
  HD void pool(X& x, int steps) const {
    x.pool_moments(products.norm_x.batch, steps);
  }
  template <class X>
  HD const typename X::S* settle(X& x) const {
    return products.settle(x);
  }
  template <class X>
  HD void settle_step(X& x, const typename X::S* totals, int steps) const {
    products.settle_step(x, totals, steps);
  }
};

inline BnLstm BnLstm::declare(const Spec& spec, Declaration& d) {
  BnLstm cell;
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits),
            H = spec.integer("units", 0, 1, kMaxUnits);
  const int rows = spec.integer("tMax", 0, 1, 1 << 24);
  const std::string order = gate_order(spec);
  const bool joint = spec.choice("terms", {"separate", "joint"}) == 1;
  const bool pooled = spec.choice("inputStats", {"perStep", "sequence"}) == 1;
  REQUIRE(!joint || !pooled, kOption,
          "inputStats 'sequence' needs terms 'separate'; 'joint' has no statistics of the input");
  const bool orthogonal = spec.choice("init", {"default", "pytorch"}) == 0;
  d.batch_eps = spec.number("eps", 1e-5);
  d.batch_momentum = spec.number("momentum", 0.01);
  d.batch_unbiased = false;
  d.needs_batch = d.shows_statistics = true;
  cell.declare_slots(d, spec, I, H, order);

  Start kernel{Start::kUniform, 1.0 / std::sqrt(static_cast<double>(H))}, square = kernel;
  if (orthogonal) kernel = square = {Start::kOrthogonal};
  const Start small{Start::kConstant, 0.1};
  Start shift;
  shift.constant_begin = cell.at[kF];
  shift.constant_end = cell.at[kF] + H;
  shift.constant = 1;
  NormParams params;
  params.W_x = d.param("W_x", {4 * H, I}, kernel);
  params.W_h = d.param("W_h", {4 * H, H}, square);
  params.b_h = d.param("b", {4 * H}, shift);
  params.gamma_h = d.param("gamma_h", {4 * H}, small);
  params.pooled = pooled;
  if (!joint) params.gamma_x = d.param("gamma_x", {4 * H}, small);
  cell.products.declare(d, cell.act, cell.recurrent.source(), params);
  if (spec.flag("bnOutput", true)) {
    const int gamma_c = d.param("gamma_c", {H}, small), beta_c = d.param("beta_c", {H});
    cell.norm_c = declare_site<NormKind::kBatch>(d, "c", H, gamma_c, beta_c);
  }
  declare_starts(spec, d);
  d.states[0].noise = spec.number("initialNoise", 0);
  REQUIRE(d.states[0].noise >= 0, kOption, "initialNoise is ", d.states[0].noise,
          "; expected 0 or more");
  for (BatchSiteInfo& site : d.sites) site.rows = site.pooled ? 1 : rows;
  return cell;
}

}  // namespace lookback
