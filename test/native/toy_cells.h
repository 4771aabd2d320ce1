/// Cells that are simple enough to be written down again in a test, one for each thing that a
/// driver does for them.
#pragma once

#include "cells/cell.h"
#include "math/scalar.h"

namespace lookback {

/// y_t = x_t + sum over a = 1..m of a c_{t-a}, with c_t = x_t: states that are seen for `window`
/// steps.
struct DelayLine {
  int units = 0, window = 0;
  Slot x, dx, y, dy, c, dc;

  static DelayLine declare(int units, int window, Declaration& d) {
    DelayLine cell;
    cell.units = units;
    cell.window = window;
    d.x = cell.x = d.tape(units);
    d.dx = cell.dx = d.scratch(units);
    d.y = cell.y = d.scratch(units);
    d.dy = cell.dy = d.scratch(units);
    cell.c = d.tape(units, window);
    cell.dc = d.carry(units, window);
    d.states = {{"queue0", "queue_n", cell.c, cell.dc, window, true}};
    return cell;
  }

  template <class X>
  int seen(const X& x_) const {
    const int pushed = x_.initial_entries() + x_.time();
    return pushed < window ? pushed : window;
  }
  template <class X>
  void begin(X&) const {}
  template <class X>
  void forward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), out = x_.at(y), now = x_.at(c);
    x_.each(units, [=](auto r, int j) { r(now, j) = r(out, j) = r(in, j); });
    for (int a = 1; a <= seen(x_); ++a) {
      const auto past = x_.at(c, -a);
      x_.each(units, [=](auto r, int j) { r(out, j) += V(a) * r(past, j); });
    }
  }
  template <class X>
  void backward(X& x_) const {
    using V = typename X::Number;
    const auto d_out = x_.at(dy), d_in = x_.at(dx), d_now = x_.at(dc);
    for (int a = 1; a <= seen(x_); ++a) {
      const auto d_past = x_.at(dc, -a);
      x_.each(units, [=](auto r, int j) { r(d_past, j) += V(a) * r(d_out, j); });
    }
    x_.each(units, [=](auto r, int j) { r(d_in, j) = r(d_out, j) + r(d_now, j); });
  }
  template <class X>
  void finish(X&) const {}
};

/// s_t = 2 s_{t-1} + x_t, y = s: a state that is the output, as LSTM's h is.
struct Leak {
  Slot x, dx, dy, s, ds;

  static Leak declare(Declaration& d) {
    Leak cell;
    d.x = cell.x = d.tape(1);
    d.dx = cell.dx = d.scratch(1);
    d.dy = cell.dy = d.scratch(1);
    d.y = cell.s = d.tape(1, 1);
    cell.ds = d.carry(1);
    d.states = {{"s0", "s_n", cell.s, cell.ds}};
    return cell;
  }
  template <class X>
  void begin(X&) const {}
  template <class X>
  void forward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), now = x_.at(s), before = x_.at(s, -1);
    x_.each(1, [=](auto r, int j) { r(now, j) = V(2) * r(before, j) + r(in, j); });
  }
  template <class X>
  void backward(X& x_) const {
    using V = typename X::Number;
    const auto d_in = x_.at(dx), d_out = x_.at(dy), d_now = x_.at(ds), d_before = x_.at(ds, -1);
    x_.each(1, [=](auto r, int j) {
      const V d = r(d_now, j) + r(d_out, j);
      r(d_in, j) = d;
      r(d_before, j) += V(2) * d;
    });
  }
  template <class X>
  void finish(X&) const {}
};

/// y = (v + w) x by units: dv is kept for every row, dw is one number for all rows where the driver
/// can do that. Tiles of kVectors vectors.
template <int kVectors>
struct Scales {
  static constexpr int kTileVectors = kVectors;
  int units = 0;
  Slot x, dx, y, dy, dv, dw;
  Vector v, w;

  static Scales declare(int units, Declaration& d) {
    Scales cell;
    cell.units = units;
    d.x = cell.x = d.tape(units);
    d.dx = cell.dx = d.scratch(units);
    d.y = cell.y = d.scratch(units);
    d.dy = cell.dy = d.scratch(units);
    cell.v = d.vector(d.param("v", {units}), units);
    cell.w = d.vector(d.param("w", {units}), units);
    cell.dv = d.sum(cell.v);
    cell.dw = d.total(cell.w);
    return cell;
  }
  template <class X>
  void begin(X&) const {}
  template <class X>
  void forward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), out = x_.at(y);
    const auto first = x_.vector(v), second = x_.vector(w);
    x_.each(units, [=](auto r, int j) { r(out, j) = V(first[j] + second[j]) * r(in, j); });
  }
  template <class X>
  void backward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), d_in = x_.at(dx), d_out = x_.at(dy), d_first = x_.at(dv),
               d_second = x_.at(dw);
    const auto first = x_.vector(v), second = x_.vector(w);
    x_.each(units, [=](auto r, int j) {
      const V d = r(d_out, j) * r(in, j);
      r(d_first, j) += d;
      r.add(d_second, j, d);
      r(d_in, j) = V(first[j] + second[j]) * r(d_out, j);
    });
  }
  template <class X>
  void finish(X&) const {}
};

/// y = (x - mean) rstd over the entries x and 3 x (or x alone) of the running rows. Its backward is
/// no derivative: dx = 2 sum dy + sum dy x, to show the sums.
struct Centre {
  int entries = 2;
  Slot x, dx, y, dy;
  BatchSite site;

  static Centre declare(Declaration& d, int entries = 2) {
    Centre cell;
    cell.entries = entries;
    d.x = cell.x = d.tape(1);
    d.dx = cell.dx = d.scratch(1);
    d.y = cell.y = d.scratch(1);
    d.dy = cell.dy = d.scratch(1);
    cell.site = d.batch_site("site", 1);
    return cell;
  }
  template <class X>
  void begin(X&) const {}
  template <class X>
  void forward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), out = x_.at(y);
    x_.moments(site, 1, entries,
               [=](auto r, int j, int entry) { return entry == 0 ? r(in, j) : V(3) * r(in, j); });
    const auto mean = x_.mean(site), rstd = x_.rstd(site);
    x_.each(1, [=](auto r, int j) { r(out, j) = (r(in, j) - V(mean[j])) * V(rstd[j]); });
  }
  template <class X>
  void backward(X& x_) const {
    using V = typename X::Number;
    const auto in = x_.at(x), d_in = x_.at(dx), d_out = x_.at(dy);
    const auto totals = x_.sums(1, [=](auto r, int j, V& first, V& second) {
      first = r(d_out, j);
      second = r(d_out, j) * r(in, j);
    });
    x_.each(1, [=](auto r, int j) { r(d_in, j) = V(2) * V(totals[0]) + V(totals[1]); });
  }
  template <class X>
  void finish(X&) const {}
};

}  // namespace lookback
