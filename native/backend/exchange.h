/// Moves numbers between the public arrays of a call and the columns of an execution context.
#pragma once

#include "backend/sequence.h"
#include "base/portable.h"

namespace lookback {

/// Moves numbers between the public arrays and the tiles of one context.
template <class X>
class Exchange {
 public:
  using S = typename X::S;
  using V = typename X::Number;
  HD Exchange(const SequenceArgs<S>& args, X& x) : args_(args), x_(x) {}

  /// Public [B, steps, size] at this step into a slot; null data means `fallback`, and so do rows
  /// that have ended: what stands in the padding is never read.
  HOST_CALL void load(const S* data, int size, int slot, S fallback) {
    const auto to = x_.place(slot, 0);
    if (data == nullptr) {
      x_.each(size, [=](auto r, int j) { r(to, j) = V(fallback); });
      return;
    }
    const int64_t steps = args_.steps, t = x_.time();
    load_rows(to, size, fallback, [=, this](int64_t b) -> const S* {
      return ended(b) ? nullptr : data + (b * steps + t) * size;
    });
  }

  HOST_CALL void load_sequences() {
    for (int i = 0; i < args_.sequences; ++i) {
      const SequencePlace<S>& s = args_.sequence[i];
      if (s.data == nullptr || s.slot < 0) continue;
      load_rows(x_.place(s.slot, 0), s.size, S(1),
                [=, this](int64_t b) -> const S* { return ended(b) ? nullptr : at_step(s, b); });
    }
  }

  /// x or dx times the input's mask. What has ended is zero already.
  HOST_CALL void mask_input(int slot) {
    if (args_.input_mask < 0) return;
    const SequencePlace<S> mask = args_.sequence[args_.input_mask];
    if (mask.data == nullptr) return;
    const auto to = x_.place(slot, 0);
    x_.each_row([=, this](auto row) {
      if (ended(row.batch())) return;
      const S* factor = at_step(mask, row.batch());
      for (int j = row.first(); j < mask.size; j += row.stride()) row.at(to, j) *= factor[j];
    });
  }

  HOST_CALL void load_input() {
    load(args_.x, args_.input_size, args_.x_slot, S(0));
    mask_input(args_.x_slot);
  }
  HOST_CALL void store_input_gradient() {
    if (args_.dx == nullptr) return;
    mask_input(args_.dx_slot);
    store(args_.dx_slot, args_.input_size, args_.dx);
  }

  /// A slot into the public array; rows that have ended get 0.
  HOST_CALL void store(int slot, int size, S* data) {
    if (data == nullptr || !stores()) return;
    const auto from = x_.place(slot, 0);
    const int64_t steps = args_.steps, t = x_.time();
    const auto row_of = [=](int64_t b) -> S* { return data + (b * steps + t) * size; };
    if constexpr (requires { x_.store_rows(from, size, row_of); }) {
      if (args_.lengths == nullptr) return x_.store_rows(from, size, row_of);
    }
    x_.each_row([=, this](auto row) {
      S* to = row_of(row.batch());
      const bool nothing = ended(row.batch());
      for (int j = row.first(); j < size; j += row.stride())
        to[j] = nothing ? S(0) : row.at(from, j);
    });
  }

  /// y of the rows whose last step this is.
  HOST_CALL void store_last() {
    S* const data = args_.y_last;
    if (data == nullptr || !may_end() || !stores()) return;
    const auto from = x_.place(args_.y_slot, 0);
    const int size = args_.output_size, t = x_.time();
    x_.each_row([=, this](auto row) {
      const int64_t b = row.batch();
      const bool ends = t == length(b) - 1, never_begins = t == 0 && length(b) == 0;
      if (!ends && !never_begins) return;
      for (int j = row.first(); j < size; j += row.stride())
        data[b * size + j] = ends ? row.at(from, j) : S(0);
    });
  }

  /// The adjoint of `store_last`, on top of dy.
  HOST_CALL void add_last_gradient() {
    const S* const data = args_.dy_last;
    if (data == nullptr || !may_end()) return;
    const auto to = x_.place(args_.dy_slot, 0);
    const int size = args_.output_size, t = x_.time();
    x_.each_row([=, this](auto row) {
      const int64_t b = row.batch();
      if (t != length(b) - 1) return;
      for (int j = row.first(); j < size; j += row.stride()) row.at(to, j) += data[b * size + j];
    });
  }

  /// state_t <- m state_t + (1 - m) state_{t-1}: m is 0 beyond a row's length, or what the mask
  /// says, and with zoneout the share of each unit that is not kept besides.
  HOST_CALL void hold() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      if (state.past >= 0 || !may_hold(state)) continue;
      const auto now = x_.place(state.slot, 0), before = x_.place(state.slot, -1);
      x_.each_row([=, this](auto row) {
        const S all = weight(row.batch());
        if (all == S(1) && state.zoneout < 0) return;
        for (int j = row.first(); j < state.size; j += row.stride()) {
          const S m = unit_weight(state, all, row.batch(), j), old = row.at(before, j);
          if (m == S(1)) continue;
          row.at(now, j) = m == S(0) ? old : m * row.at(now, j) + (S(1) - m) * old;
        }
      });
    }
  }

  /// The adjoint of `hold`: the held share of each gradient goes straight to the step before. The
  /// output's own gradient takes the same way where the output is the state.
  HOST_CALL void hold_gradient() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      if (state.past >= 0 || !may_hold(state)) continue;
      const auto now = x_.place(state.gradient, 0), before = x_.place(state.gradient, -1);
      const auto dy = x_.place(args_.dy_slot, 0);
      const bool is_output = state.slot == args_.y_slot;
      x_.each_row([=, this](auto row) {
        const S all = weight(row.batch());
        if (all == S(1) && state.zoneout < 0) return;
        for (int j = row.first(); j < state.size; j += row.stride()) {
          const S m = unit_weight(state, all, row.batch(), j);
          const S total = row.at(now, j) + (is_output ? row.at(dy, j) : S(0));
          row.at(before, j) += (S(1) - m) * total;
          row.at(now, j) *= m;
          if (is_output) row.at(dy, j) *= m;
        }
      });
    }
  }

  /// Entry e of the entries there are, oldest first, belongs to step e - entries; states with fewer
  /// start later.
  HOST_CALL void load_initial() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      if (state.past >= 0) load_past(state);
      for (int e = 0; e < args_.initial_entries && state.past < 0; ++e) {
        const int64_t from = e - (args_.initial_entries - state.given);
        x_.set_time(e - args_.initial_entries);
        if (-x_.time() > x_.slot(state.slot).history) continue;
        const auto to = x_.place(state.slot, 0);
        const int64_t batch = args_.batch;
        x_.each_row([=](auto row) {
          for (int j = row.first(); j < state.size; j += row.stride()) {
            const int64_t line = state.repeated ? 0 : from * batch + row.batch();
            row.at(to, j) =
                state.initial != nullptr && from >= 0 ? state.initial[line * state.size + j] : S(0);
          }
        });
      }
    }
  }

  /// The states of the rows whose last step this is: step -1 for rows that have none. Not later,
  /// since held steps push older entries out of the rings of inference.
  HOST_CALL void store_final() {
    if (!may_end() || !stores()) return;
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      if (state.final == nullptr) continue;
      x_.each_row([=, this](auto row) {
        const int t = x_.time();
        if (t != length(row.batch()) - 1) return;
        for (int age = 0; age < state.entries; ++age) {
          const bool window = state.past >= 0, before_first = window && t - age < 0;
          const int64_t entry = window ? age : state.entries - 1 - age;
          S* const out = state.final + (entry * args_.batch + row.batch()) * state.size;
          const bool exists = window || t - age >= -args_.initial_entries;
          const auto from =
              before_first ? x_.place(state.past, -age) : x_.place(state.slot, exists ? -age : 0);
          for (int j = row.first(); j < state.size; j += row.stride())
            out[j] = exists ? row.at(from, j) : S(0);
        }
      });
    }
  }

  HOST_CALL void zero_carries() {
    if constexpr (requires { x_.zero_carried(true); }) {
      x_.zero_carried(true);
    } else {
      for (int slot = 0; slot < args_.slot_count; ++slot) {
        const SlotPlace& p = x_.slot(slot);
        for (int dt = 0; p.carry && dt < p.depth; ++dt) zero(x_.place(slot, -dt), p.size);
      }
    }
  }

  /// The oldest column of every ring comes into reach at this step.
  HOST_CALL void zero_oldest() {
    if constexpr (requires { x_.zero_carried(false); }) {
      x_.zero_carried(false);
    } else {
      for (int slot = 0; slot < args_.slot_count; ++slot) {
        const SlotPlace& p = x_.slot(slot);
        if (p.carry) zero(x_.place(slot, -p.history), p.size);
      }
    }
  }

  /// Windows begin with the caller's gradients of those final entries that are from before the
  /// first step, and with zeros.
  HOST_CALL void begin_past_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      for (int back = 1; state.past >= 0 && back <= state.entries; ++back) {
        x_.set_time(-back);
        const auto to = x_.place(state.d_past, 0);
        zero(to, state.size);
        if (state.d_final == nullptr) continue;
        x_.each_row([=, this](auto row) {
          const int64_t age = length(row.batch()) - 1 + back;
          if (age >= state.entries) return;
          const S* from = state.d_final + (age * args_.batch + row.batch()) * state.size;
          for (int j = row.first(); j < state.size; j += row.stride()) row.at(to, j) += from[j];
        });
      }
    }
  }

  HOST_CALL void store_past_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      for (int back = 1; state.past >= 0 && back <= state.entries; ++back) {
        if (state.d_initial == nullptr || !stores()) continue;
        x_.set_time(-back);
        const auto from = x_.place(state.d_past, 0);
        const int64_t batch = args_.batch;
        x_.each_row([=](auto row) {
          S* to = state.d_initial + ((back - 1) * batch + row.batch()) * state.size;
          for (int j = row.first(); j < state.size; j += row.stride()) to[j] = row.at(from, j);
        });
      }
    }
  }

  /// Adds the caller's gradients of the final states: the newest entry at the last step (held rows
  /// pass it on to the step that made it), an older one at the step that made it.
  HOST_CALL void inject_final_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      if (state.d_final == nullptr) continue;
      const auto to = x_.place(state.gradient, 0);
      x_.each_row([=, this](auto row) {
        const int64_t b = row.batch();
        const bool last = x_.time() == args_.steps - 1, window = state.past >= 0;
        const int age = last ? 0 : length(b) - 1 - x_.time();
        if ((!last && age <= 0) || age >= state.entries) return;
        // What a window holds from before the first step has had its gradient from the beginning.
        if (window && (x_.time() < 0 || length(b) == 0)) return;
        const int64_t entry = window ? age : state.entries - 1 - age;
        const S* from = state.d_final + (entry * args_.batch + b) * state.size;
        for (int j = row.first(); j < state.size; j += row.stride()) row.at(to, j) += from[j];
      });
    }
  }

  HOST_CALL void store_initial_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S> state = args_.state[i];
      const int64_t entry = state.given + x_.time();
      if (state.d_initial == nullptr || entry < 0 || state.past >= 0 || !stores()) continue;
      const auto from = x_.place(state.gradient, 0);
      const int64_t batch = args_.batch;
      x_.each_row([=](auto row) {
        for (int j = row.first(); j < state.size; j += row.stride()) {
          state.d_initial[(entry * batch + row.batch()) * state.size + j] = row.at(from, j);
        }
      });
    }
  }

 private:
  /// Whether this context writes the public arrays: of several with the same rows one does.
  HD bool stores() const {
    if constexpr (requires { x_.stores(); }) {
      return x_.stores();
    } else {
      return true;
    }
  }
  /// Row b of a column from where `from(b)` points; null: `fallback` in every place.
  template <class Column, class From>
  HD void load_rows(Column to, int size, S fallback, From from) {
    if constexpr (requires { x_.load_rows(to, size, fallback, from); }) {
      x_.load_rows(to, size, fallback, from);
    } else {
      x_.each_row([=](auto row) {
        const S* const numbers = from(row.batch());
        for (int j = row.first(); j < size; j += row.stride())
          row.at(to, j) = numbers == nullptr ? fallback : numbers[j];
      });
    }
  }
  HD void load_past(const StatePlace<S>& state) {
    for (int back = 1; back <= state.entries; ++back) {
      x_.set_time(-back);
      const auto to = x_.place(state.past, 0);
      const S* const from = state.initial;
      const int64_t first = int64_t{back - 1} * args_.batch;
      const int size = state.size;
      x_.each_row([=](auto row) {
        for (int j = row.first(); j < size; j += row.stride())
          row.at(to, j) = from == nullptr ? S(0) : from[(first + row.batch()) * size + j];
      });
    }
  }
  /// Whether this may be the last step of a row.
  HD bool may_end() const { return args_.lengths != nullptr || x_.time() == args_.steps - 1; }
  HD bool may_hold(const StatePlace<S>& state) const {
    return args_.lengths != nullptr || args_.mask != nullptr || state.zoneout >= 0;
  }
  HD bool ended(int64_t b) const {
    return args_.lengths != nullptr && x_.time() >= args_.lengths[b];
  }
  HD const S* at_step(const SequencePlace<S>& s, int64_t b) const {
    return s.data + b * s.row_stride + x_.time() * s.step_stride;
  }
  /// Zoneout within what the mask lets through; beyond a row's length there is nothing of it.
  HD S unit_weight(const StatePlace<S>& state, S all, int64_t b, int j) const {
    if (state.zoneout < 0 || all == S(0)) return all;
    const SequencePlace<S>& keep = args_.sequence[state.zoneout];
    const int unit = j < keep.size ? j : j - keep.size;  // both parts of a complex one
    return all * (S(1) - (keep.data != nullptr ? at_step(keep, b)[unit] : keep.rest));
  }
  HD S weight(int64_t b) const {
    if (args_.lengths != nullptr && x_.time() >= args_.lengths[b]) return S(0);
    return args_.mask != nullptr ? args_.mask[b * args_.steps + x_.time()] : S(1);
  }
  HD int length(int64_t b) const {
    return args_.lengths != nullptr ? args_.lengths[b] : args_.steps;
  }
  template <class Column>
  HD void zero(Column column, int size) {
    x_.each(size, [=](auto r, int j) { r(column, j) = V(S(0)); });
  }

  const SequenceArgs<S>& args_;
  X& x_;
};

}  // namespace lookback
