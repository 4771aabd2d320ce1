/// What may be put around any recurrence, by options of the same names everywhere:
///
///   dropout           x_t is multiplied by a mask of 0 and 1 / (1 - p)
///   recurrentDropout  so is the h_{t-1} that enters the recurrent products, and nothing else of it
///   dropoutMask       'sequence': these two draw one mask a row (Gal and Ghahramani 2016); 'step':
///                     one a step
///   zoneout           h_t = m h_{t-1} + (1 - m) h~_t, m of 0 and 1 for every unit and step
///   (Krueger zoneoutCell       et al. 2017); the same for c_t. Outside training m is the rate
///   itself
///
/// The masks are drawn by the driver, or given: mask.input, mask.recurrent, mask.zoneout_h and
/// mask.zoneout_c. All but the recurrent one are the business of the loop over time
/// (backend/walk.h), but for LARNN's zoneout: what it keeps is pushed into a window within the
/// step.
///
/// A complex state [re | im] has one number of a mask for both parts of a unit: dropped or kept one
/// by one they would turn its phase, which the complex cells are about.
#pragma once

#include <string>

#include "base/error.h"
#include "base/spec.h"
#include "cells/cell.h"

namespace lookback {

inline double rate_of(const Spec& spec, const std::string& key) {
  const double rate = spec.number(key, 0);
  REQUIRE(rate >= 0 && rate < 1, kOption, key, " is ", rate, "; expected 0 to below 1");
  return rate;
}

/// To be called once x and the states are declared. `parts`: 2 for complex states.
inline void declare_extensions(const Spec& spec, Declaration& d, int parts = 1) {
  const bool constant = spec.choice("dropoutMask", {"sequence", "step"}) == 0;
  d.input_mask = d.mask({"mask.input", {}, rate_of(spec, "dropout"), constant, false}, d.x.size);
  for (StateInfo& state : d.states) {
    if (state.in != "h0" && state.in != "c0") continue;
    const bool hidden = state.in == "h0";
    const double rate = rate_of(spec, hidden ? "zoneout" : "zoneoutCell");
    state.zoneout = d.mask({hidden ? "mask.zoneout_h" : "mask.zoneout_c", {}, rate, false, true},
                           state.value.size / parts);
  }
}

/// Option initialState 'trained': h and c start from parameters h_start and c_start, the same for
/// every row, which begin at 0. To be called last: weights are drawn by their place.
inline void declare_starts(const Spec& spec, Declaration& d) {
  if (spec.choice("initialState", {"zeros", "trained"}) == 0) return;
  for (StateInfo& state : d.states) {
    if (state.past.id >= 0) continue;  // a window follows h
    state.param = d.param(state.in == "h0" ? "h_start" : "c_start", {state.value.size});
  }
}

/// Zoneout inside a step, for a state that something is made of before the step ends.
struct Zoneout {
  bool on = false;
  int units = 0, mask = 0;
  double rate = 0;

  /// `name`: of the mask. Off, without room for masks, where the rate is 0.
  static Zoneout declare(const Spec& spec, Declaration& d, const char* option, const char* name,
                         int units) {
    Zoneout zone;
    zone.units = units;
    zone.rate = rate_of(spec, option);
    zone.on = zone.rate > 0;
    if (!zone.on) return zone;
    zone.mask = d.sequence(name, units, zone.rate);
    d.sequences.back().zoneout = true;
    return zone;
  }

  /// state_t = m state_{t-1} + (1 - m) fresh
  template <class X>
  HD void mix(X& x, Slot state, Slot fresh) const {
    using V = typename X::Number;
    if (!on) return;
    const auto to = x.at(state), from = x.at(fresh), old = x.at(state, -1);
    const auto keep = x.at(x.sequence_slot(mask));
    const bool given = x.given(mask);
    const V rest = V(rate);
    x.each(units, [=](auto r, int j) {
      const V m = given ? V(r(keep, j)) : rest, now = r(from, j);
      r(to, j) = fma(m, r(old, j) - now, now);
    });
  }
  /// The adjoint of `mix`: d, the gradient of state_t, becomes that of `fresh`; `d_state` at t - 1
  /// gets its share.
  template <class X>
  HD void share(X& x, Slot d, Slot d_state) const {
    using V = typename X::Number;
    if (!on) return;
    const auto d_ = x.at(d), before = x.at(d_state, -1), keep = x.at(x.sequence_slot(mask));
    const bool given = x.given(mask);
    const V rest = V(rate);
    x.each(units, [=](auto r, int j) {
      const V m = given ? V(r(keep, j)) : rest, all = r(d_, j);
      r(before, j) += m * all;
      r(d_, j) = all - m * all;
    });
  }
};

/// h_{t-1} as the recurrent products see it. Without recurrent dropout that is h_{t-1} itself, at
/// no cost; room for masks is made where the rate says so, or where the kind of mask is named.
struct RecurrentInput {
  bool on = false;
  int units = 0, mask = 0;
  int factors = 0;  ///< numbers of the mask: half of a complex state
  Slot h, dh, masked, d_masked;

  static RecurrentInput declare(const Spec& spec, Declaration& d, Slot h, Slot dh, int parts = 1) {
    RecurrentInput input;
    input.units = h.size;
    input.factors = h.size / parts;
    input.h = h;
    input.dh = dh;
    const double rate = rate_of(spec, "recurrentDropout");
    input.on = rate > 0 || spec.has("dropoutMask");
    if (!input.on) return input;
    input.mask = d.sequence("mask.recurrent", input.factors, rate);
    d.sequences.back().constant = spec.choice("dropoutMask", {"sequence", "step"}) == 0;
    input.masked = d.tape(h.size);
    input.d_masked = d.scratch(h.size);
    return input;
  }

  /// For the recurrent products of the cell; their adjoints add.
  LinearSource source() const {
    return on ? LinearSource{masked, 0, d_masked, true} : LinearSource{h, -1, dh, true};
  }
  template <class X>
  HD typename X::Column at(const X& x) const {
    return on ? x.at(masked) : x.at(h, -1);
  }
  template <class X>
  HD typename X::Column gradient(const X& x) const {
    return on ? x.at(d_masked) : x.at(dh, -1);
  }

  /// Before the first product of a step.
  template <class X>
  HD void forward(X& x) const {
    using V = typename X::Number;
    if (!on) return;
    const auto to = x.at(masked), from = x.at(h, -1), factor = x.at(x.sequence_slot(mask));
    const bool given = x.given(mask);
    const int n = factors;
    const int parts = units / n;
    x.each(n, [=](auto r, int j) {
      for (int u = j; u < parts * n; u += n)
        r(to, u) = given ? V(r(from, u) * r(factor, j)) : V(r(from, u));
    });
  }
  /// Before the first adjoint of a step.
  template <class X>
  HD void begin_backward(X& x) const {
    using V = typename X::Number;
    if (!on) return;
    const auto d = x.at(d_masked);
    x.each(units, [=](auto r, int j) { r(d, j) = V(0); });
  }
  /// After the last one.
  template <class X>
  HD void backward(X& x) const {
    using V = typename X::Number;
    if (!on) return;
    const auto d = x.at(d_masked), to = x.at(dh, -1), factor = x.at(x.sequence_slot(mask));
    const bool given = x.given(mask);
    const int n = factors;
    const int parts = units / n;
    x.each(n, [=](auto r, int j) {
      for (int u = j; u < parts * n; u += n)
        r(to, u) += given ? V(r(d, u) * r(factor, j)) : V(r(d, u));
    });
  }
};

}  // namespace lookback
