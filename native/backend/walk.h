/// The loop over time, forward and backward, for any cell on any device: what happens between the
/// public arrays and a cell's programs. Written over the same execution context as the cells, plus
/// what only a loop needs:
///
///   x.each_row(f)     f(row) for every real batch row; row.batch() is its index and
///                     row.at(column, j) its number j. Several threads may share a row: each takes
///                     the numbers row.first(), row.first() + row.stride(), ...
///   x.set_time(t)     x.set_active(t)
///   x.stop()          true once the caller has cancelled
///   x.sum_recent()    after a step of backward, where a device keeps few steps of some columns
///                     (SlotInfo::remade)
///   x.stores()        where several contexts have the same rows: whether this one writes the
///                     public arrays
///   x.begin_step()    x.end_step()    where a device keeps columns near, and the tape far away
///   x.load_rows(column, size, fallback, from)    x.store_rows(column, size, to)    where a device
///                     moves whole rows faster than number by number: from(b) points at row b's
///                     numbers, or is null for `fallback` in every place
#pragma once

#include "backend/exchange.h"
#include "backend/sequence.h"
#include "base/portable.h"

namespace lookback {

/// Moves to step t; `begin_step` and `end_step` enclose what reads and writes its columns.
template <class X>
HD void begin_step(X& x, int t) {
  x.set_time(t);
  if constexpr (requires { x.begin_step(); }) x.begin_step();
}
template <class X>
HD void end_step(X& x) {
  if constexpr (requires { x.end_step(); }) x.end_step();
}

/// One step of the pass before the loop of a cell with statistics over all steps.
template <class X, class Cell>
HD void walk_survey_step(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x, int t) {
  Exchange<X> exchange(args, x);
  x.set_time(t);
  if (t == 0) x.set_active(t);
  exchange.load_input();
  cell.survey(x);
}

/// The pass before the loop.
template <class X, class Cell>
HD void walk_survey(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  for (int t = 0; t < args.steps; ++t) {
    if (x.stop()) return;
    walk_survey_step(args, cell, x, t);
  }
  cell.pool(x, args.steps);
}

/// The pass after its backward loop: what comes before its steps, which need the result.
template <class X, class Cell>
HD const typename X::S* walk_settle_begin(const Cell& cell, X& x) {
  x.set_time(0);
  x.set_active(0);
  return cell.settle(x);
}

template <class X, class Cell>
HD void walk_settle_step(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x, int t,
                         const typename X::S* totals) {
  Exchange<X> exchange(args, x);
  x.set_time(t);
  cell.settle_step(x, totals, args.steps);
  exchange.store_input_gradient();
}

template <class X, class Cell>
HD void walk_settle(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  const typename X::S* totals = walk_settle_begin(cell, x);
  for (int t = 0; t < args.steps; ++t) {
    if (x.stop()) return;
    walk_settle_step(args, cell, x, t, totals);
  }
}

/// What comes before the first step.
template <class X, class Cell>
HD void walk_start(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  Exchange<X> exchange(args, x);
  exchange.load_initial();
  x.set_active(-1);
  for (int t = -args.initial_entries; t < 0; ++t) {
    x.set_time(t);
    cell.begin(x);
    end_step(x);
  }
  exchange.store_final();
}

template <class X, class Cell>
HD void walk_forward_step(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x, int t) {
  Exchange<X> exchange(args, x);
  begin_step(x, t);
  if (args.lengths != nullptr || t == 0) x.set_active(t);
  exchange.load_input();
  exchange.load_sequences();
  cell.forward(x);
  exchange.hold();
  exchange.store(args.y_slot, args.output_size, args.y);
  exchange.store_last();
  exchange.store_final();
  end_step(x);
}

template <class X, class Cell>
HD void walk_forward(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  x.read_fresh_moments(args.training && args.sites != nullptr);
  if constexpr (requires { cell.pools(x); }) {
    if (cell.pools(x)) walk_survey(args, cell, x);
  }
  walk_start(args, cell, x);
  for (int t = 0; t < args.steps; ++t) {
    if (x.stop()) return;
    walk_forward_step(args, cell, x, t);
  }
}

/// What comes before the last step is gone back through.
template <class X>
HD void walk_turn(const SequenceArgs<typename X::S>& args, X& x) {
  Exchange<X> exchange(args, x);
  x.set_time(0);
  exchange.zero_carries();
  exchange.begin_past_gradients();
}

template <class X, class Cell>
HD void walk_backward_step(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x, int t) {
  Exchange<X> exchange(args, x);
  begin_step(x, t);
  if (args.lengths != nullptr || t == args.steps - 1) x.set_active(t);
  exchange.zero_oldest();
  exchange.load(args.dy, args.output_size, args.dy_slot, typename X::S(0));
  exchange.add_last_gradient();
  exchange.load_sequences();
  exchange.inject_final_gradients();
  exchange.hold_gradient();
  cell.backward(x);
  exchange.store_input_gradient();
  if constexpr (requires { x.sum_recent(); }) x.sum_recent();
  end_step(x);
}

/// The initial states, newest first.
template <class X, class Cell>
HD void walk_finish(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  Exchange<X> exchange(args, x);
  x.set_active(-1);
  for (int t = -1; t >= -args.initial_entries; --t) {
    begin_step(x, t);
    exchange.zero_oldest();
    exchange.inject_final_gradients();
    cell.finish(x);
    exchange.store_initial_gradients();
    end_step(x);
  }
  exchange.store_past_gradients();
}

template <class X, class Cell>
HD void walk_backward(const SequenceArgs<typename X::S>& args, const Cell& cell, X& x) {
  walk_turn(args, x);
  for (int t = args.steps - 1; t >= 0; --t) {
    if (x.stop()) return;
    walk_backward_step(args, cell, x, t);
  }
  if constexpr (requires { cell.pools(x); }) {
    if (cell.pools(x)) walk_settle(args, cell, x);
  }
  walk_finish(args, cell, x);
}

}  // namespace lookback
