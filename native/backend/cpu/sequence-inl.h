/// The CPU's loop over time, forward and backward, for any cell. A worker owns whole tiles of batch rows for the whole
/// sequence, one after the other, so there is no barrier in the loop; only cells whose rows meet in batch statistics
/// (`coupled`) walk all tiles through time together.
#pragma once

#include "backend/cpu/context-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// Moves numbers between the public arrays and the tiles of one context.
template <class V>
class TileExchange {
 public:
  using S = ScalarOf<V>;
  static constexpr int kStride = kTileRows<V>;
  TileExchange(const SequenceArgs<S>& args, TileContext<V>& x) : args_(args), x_(x) {}

  /// Public [B, steps, size] at step t into a slot; null data means `fallback`.
  void load(const S* data, int size, int slot, S fallback) {
    for (int tile = x_.begin(); tile < x_.end(); ++tile) {
      S* to = x_.tile_base(tile) + x_.place(slot, 0).offset;
      if (data == nullptr) {
        for (int64_t i = 0; i < int64_t{size} * kStride; ++i) to[i] = fallback;
        continue;
      }
      const int rows = x_.rows_of(tile);
      for (int row = 0; row < rows; ++row) {
        const S* from = data + (batch_row(tile, row) * args_.steps + x_.time()) * size;
        for (int j = 0; j < size; ++j) to[int64_t{j} * kStride + row] = from[j];
      }
    }
  }

  /// dy of this step; the output of rows that have ended is the constant 0.
  void load_output_gradient() {
    load(args_.dy, args_.output_size, args_.dy_slot, S(0));
    if (args_.lengths == nullptr) return;
    for_held_rows([&](S* base, int row, S m) {
      if (m != S(0)) return;
      S* dy = base + x_.place(args_.dy_slot, 0).offset + row;
      for (int j = 0; j < args_.output_size; ++j) dy[int64_t{j} * kStride] = S(0);
    });
  }

  void load_sequences() {
    for (int i = 0; i < args_.sequences; ++i) {
      const SequencePlace<S>& s = args_.sequence[i];
      if (s.data != nullptr) load(s.data, s.size, s.slot, S(1));
    }
  }

  /// A slot into the public array; rows that do not take part get 0.
  void store(int slot, int size, S* data) {
    if (data == nullptr) return;
    for (int tile = x_.begin(); tile < x_.end(); ++tile) {
      const S* from = x_.tile_base(tile) + x_.place(slot, 0).offset;
      const int rows = x_.rows_of(tile);
      for (int row = 0; row < rows; ++row) {
        const int64_t b = batch_row(tile, row);
        S* to = data + (b * args_.steps + x_.time()) * size;
        const bool ended = args_.lengths != nullptr && x_.time() >= args_.lengths[b];
        for (int j = 0; j < size; ++j) to[j] = ended ? S(0) : from[int64_t{j} * kStride + row];
      }
    }
  }

  /// How much of the step counts for a row: 1, or 0 beyond its length, or what the mask says.
  S weight(int64_t b) const {
    if (args_.lengths != nullptr && x_.time() >= args_.lengths[b]) return S(0);
    return args_.mask != nullptr ? args_.mask[b * args_.steps + x_.time()] : S(1);
  }
  bool may_hold() const { return args_.lengths != nullptr || args_.mask != nullptr; }

  /// state_t <- m state_t + (1 - m) state_{t-1}.
  void hold() {
    if (!may_hold()) return;
    for_held_rows([&](S* base, int row, S m) {
      for (int i = 0; i < args_.states; ++i) {
        const StatePlace<S>& state = args_.state[i];
        S* now = base + x_.place(state.slot, 0).offset + row;
        const S* before = base + x_.place(state.slot, -1).offset + row;
        for (int j = 0; j < state.size; ++j) {
          S& value = now[int64_t{j} * kStride];
          value = m == S(0) ? before[int64_t{j} * kStride] : m * value + (S(1) - m) * before[int64_t{j} * kStride];
        }
      }
    });
  }

  /// The adjoint of `hold`: the held share of each gradient goes straight to the step before. The output's own
  /// gradient takes the same way where the output is the state.
  void hold_gradient() {
    if (!may_hold()) return;
    for_held_rows([&](S* base, int row, S m) {
      for (int i = 0; i < args_.states; ++i) {
        const StatePlace<S>& state = args_.state[i];
        S* now = base + x_.place(state.gradient, 0).offset + row;
        S* before = base + x_.place(state.gradient, -1).offset + row;
        S* dy = state.slot == args_.y_slot ? base + x_.place(args_.dy_slot, 0).offset + row : nullptr;
        for (int64_t j = 0; j < int64_t{state.size} * kStride; j += kStride) {
          const S total = now[j] + (dy != nullptr ? dy[j] : S(0));
          before[j] += (S(1) - m) * total;
          now[j] *= m;
          if (dy != nullptr) dy[j] *= m;
        }
      }
    });
  }

  void load_initial() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S>& state = args_.state[i];
      for (int e = 0; e < args_.initial_entries; ++e) {
        // Entry e of `given`, oldest first, belongs to step e - given; a plain state has one entry, at step -1.
        const int64_t from = e - (args_.initial_entries - state.given);
        x_.set_time(e - args_.initial_entries);
        if (-x_.time() > args_.slots[state.slot].history) continue;
        copy_state(state.slot, state.size, [&](int64_t b, int j, S& value) {
          value = state.initial != nullptr && from >= 0
                      ? state.initial[(from * args_.batch + b) * state.size + j]
                      : S(0);
        });
      }
    }
  }

  void store_final() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S>& state = args_.state[i];
      if (state.final == nullptr) continue;
      for (int age = 0; age < state.entries; ++age) {
        S* out = state.final + int64_t{state.entries - 1 - age} * args_.batch * state.size;
        for (int tile = x_.begin(); tile < x_.end(); ++tile) {
          for (int row = 0; row < x_.rows_of(tile); ++row) {
            const int64_t b = batch_row(tile, row);
            // Rows that ended early still hold their newest entry at the last step.
            const int t = age == 0 ? args_.steps - 1 : length(b) - 1 - age;
            const bool exists = t >= -args_.initial_entries;
            x_.set_time(t);
            const S* from =
                exists ? x_.tile_base(tile) + x_.place(state.slot, 0).offset + row : nullptr;
            for (int j = 0; j < state.size; ++j) {
              out[b * state.size + j] = exists ? from[int64_t{j} * kStride] : S(0);
            }
          }
        }
      }
    }
  }

  void zero_carries() {
    for (int slot = 0; slot < args_.slot_count; ++slot) {
      const SlotPlace& p = args_.slots[slot];
      if (!p.carry) continue;
      for (int tile = x_.begin(); tile < x_.end(); ++tile) {
        S* to = x_.tile_base(tile) + p.offset;
        for (int64_t i = 0; i < int64_t{p.depth} * p.size * kStride; ++i) to[i] = S(0);
      }
    }
  }

  /// The oldest column of every ring comes into reach at this step.
  void zero_oldest() {
    for (int slot = 0; slot < args_.slot_count; ++slot) {
      const SlotPlace& p = args_.slots[slot];
      if (!p.carry) continue;
      for (int tile = x_.begin(); tile < x_.end(); ++tile) {
        S* to = x_.tile_base(tile) + x_.place(slot, -p.history).offset;
        for (int64_t i = 0; i < int64_t{p.size} * kStride; ++i) to[i] = S(0);
      }
    }
  }

  /// Adds the caller's gradients of the final states: the newest entry at the last step (held rows pass it on to the
  /// step that made it), an older one at the step that made it.
  void inject_final_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S>& state = args_.state[i];
      if (state.d_final == nullptr) continue;
      for (int tile = x_.begin(); tile < x_.end(); ++tile) {
        for (int row = 0; row < x_.rows_of(tile); ++row) {
          const int64_t b = batch_row(tile, row);
          int age = length(b) - 1 - x_.time();
          if (x_.time() == args_.steps - 1) {
            age = 0;
          } else if (age <= 0) {
            continue;
          }
          if (age >= state.entries) continue;
          const S* from = state.d_final + (int64_t{state.entries - 1 - age} * args_.batch + b) * state.size;
          S* to = x_.tile_base(tile) + x_.place(state.gradient, 0).offset + row;
          for (int j = 0; j < state.size; ++j) to[int64_t{j} * kStride] += from[j];
        }
      }
    }
  }

  void store_initial_gradients() {
    for (int i = 0; i < args_.states; ++i) {
      const StatePlace<S>& state = args_.state[i];
      const int entry = state.given + x_.time();
      if (state.d_initial == nullptr || entry < 0) continue;
      copy_state(state.gradient, state.size, [&](int64_t b, int j, S& value) {
        state.d_initial[(int64_t{entry} * args_.batch + b) * state.size + j] = value;
      });
    }
  }

 private:
  int64_t batch_row(int tile, int row) const { return int64_t{tile} * kStride + row; }
  int length(int64_t b) const { return args_.lengths != nullptr ? args_.lengths[b] : args_.steps; }

  template <class F>
  void for_held_rows(F f) {
    for (int tile = x_.begin(); tile < x_.end(); ++tile) {
      for (int row = 0; row < x_.rows_of(tile); ++row) {
        const S m = weight(batch_row(tile, row));
        if (m != S(1)) f(x_.tile_base(tile), row, m);
      }
    }
  }
  template <class F>
  void copy_state(int slot, int size, F f) {
    for (int tile = x_.begin(); tile < x_.end(); ++tile) {
      S* base = x_.tile_base(tile) + x_.place(slot, 0).offset;
      for (int row = 0; row < x_.rows_of(tile); ++row) {
        for (int j = 0; j < size; ++j) f(batch_row(tile, row), j, base[int64_t{j} * kStride + row]);
      }
    }
  }

  const SequenceArgs<S>& args_;
  TileContext<V>& x_;
};

/// Asked once a step; a step of the largest tile takes well under the promised 10 ms.
template <class S>
bool cancelled(const SequenceArgs<S>& args) {
  if (args.cancel != nullptr && args.cancel->load(std::memory_order_relaxed)) {
    if (args.barrier != nullptr) args.barrier->abandon();
    return true;
  }
  return args.barrier != nullptr && args.barrier->abandoned();
}

template <class V, class Cell>
void walk_forward(const SequenceArgs<ScalarOf<V>>& args, const Cell& cell, TileContext<V>& x) {
  TileExchange<V> exchange(args, x);
  x.read_fresh_moments(args.training && args.sites != nullptr);
  exchange.load_initial();
  x.set_active(-1);
  for (int t = -args.initial_entries; t < 0; ++t) {
    x.set_time(t);
    cell.begin(x);
  }
  for (int t = 0; t < args.steps; ++t) {
    if (cancelled(args)) return;
    x.set_time(t);
    if (args.lengths != nullptr || t == 0) x.set_active(t);
    exchange.load(args.x, args.input_size, args.x_slot, ScalarOf<V>(0));
    exchange.load_sequences();
    cell.forward(x);
    exchange.hold();
    exchange.store(args.y_slot, args.output_size, args.y);
  }
  exchange.store_final();
}

template <class V, class Cell>
void walk_backward(const SequenceArgs<ScalarOf<V>>& args, const Cell& cell, TileContext<V>& x) {
  TileExchange<V> exchange(args, x);
  exchange.zero_carries();
  for (int t = args.steps - 1; t >= 0; --t) {
    if (cancelled(args)) return;
    x.set_time(t);
    if (args.lengths != nullptr || t == args.steps - 1) x.set_active(t);
    exchange.zero_oldest();
    exchange.load_output_gradient();
    exchange.load_sequences();
    exchange.inject_final_gradients();
    exchange.hold_gradient();
    cell.backward(x);
    exchange.store(args.dx_slot, args.input_size, args.dx);
  }
  x.set_active(-1);
  for (int t = -1; t >= -args.initial_entries; --t) {
    x.set_time(t);
    exchange.zero_oldest();
    exchange.inject_final_gradients();
    cell.finish(x);
    exchange.store_initial_gradients();
  }
}

template <class V, class Cell, class Walk>
void run_tiles(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker, Walk walk) {
  const Cell& typed = *static_cast<const Cell*>(cell);
  if (args.coupled) {
    const int begin = args.tiles * worker / args.workers, end = args.tiles * (worker + 1) / args.workers;
    TileContext<V> x(args, args.active, begin, end, worker);
    walk(args, typed, x);
    return;
  }
  for (int tile = worker; tile < args.tiles; tile += args.workers) {
    TileContext<V> x(args, args.active, tile, tile + 1, worker);
    walk(args, typed, x);
  }
}

template <class V, class Cell>
void run_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_tiles<V, Cell>(args, cell, worker, walk_forward<V, Cell>);
}

template <class V, class Cell>
void run_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_tiles<V, Cell>(args, cell, worker, walk_backward<V, Cell>);
}

/// The part of a weight gradient that stays in the second-level cache: units of one source over a run of steps.
struct GradientChunk {
  int source, unit_begin, units;
  int64_t k_offset;
};

/// Adds one tile's run of steps [t, t + steps) of one chunk to dW: the source's units are packed once, a few rows of
/// d_out at a time beside them in the first-level cache.
template <class V>
void add_chunk(TileContext<V>& x, const SequenceArgs<ScalarOf<V>>& args, const WeightGradient<ScalarOf<V>>& g,
               const GradientChunk& chunk, int tile, int repeat, int t, int steps, int64_t k_total) {
  using S = ScalarOf<V>;
  constexpr int kStride = kTileRows<V>;
  const PackedLinear<S>& p = args.linears[g.linear];
  const auto& source = p.source[chunk.source];
  const int64_t line = packed_line<V>(steps);
  const S* base = x.tile_base(tile);
  // A tile of one vector leaves the second one of each step at zero, which adds nothing.
  const int vectors = steps * kGroups;
  x.set_time(t);
  S* units = g.scratch;
  S* rows = units + chunk.units * line;
  pack_lines<V>(base + x.place(source.slot, source.dt).offset +
                    (int64_t{repeat} * source.size + chunk.unit_begin) * kStride,
                int64_t{args.slots[source.slot].size} * kStride, chunk.units, steps, line, units);
  const S* d_out = base + x.place(p.d_out, 0).offset + int64_t{p.d_out_begin + repeat * p.rows} * kStride;
  const int64_t d_step = int64_t{args.slots[p.d_out].size} * kStride;
  const bool with_bias = g.db != nullptr && chunk.k_offset == 0;
  for (int o = g.row_begin; o < g.row_end; o += kOut) {
    const int outs = g.row_end - o < kOut ? g.row_end - o : kOut;
    pack_lines<V>(d_out + int64_t{o} * kStride, d_step, outs, steps, line, rows);
    for (int k = 0; k < chunk.units; k += kIn) {
      const int ins = chunk.units - k < kIn ? chunk.units - k : kIn;
      outer_block<V>(rows, outs, units + k * line, ins, line, vectors,
                     g.dW + o * k_total + chunk.k_offset + k, k_total);
    }
    if (with_bias) bias_block<V>(rows, outs, line, vectors, g.db + o);
  }
}

/// Rows [row_begin, row_end) of dW = sum over tiles, steps and batch rows of d_out source^T, in that fixed order.
template <class V>
void weight_gradient(const SequenceArgs<ScalarOf<V>>& args, const WeightGradient<ScalarOf<V>>& g) {
  using S = ScalarOf<V>;
  const PackedLinear<S>& p = args.linears[g.linear];
  int64_t k_total = 0;
  for (int i = 0; i < p.sources; ++i) k_total += p.source[i].size;
  for (int o = g.row_begin; o < g.row_end; ++o) {
    for (int64_t k = 0; k < k_total; ++k) g.dW[o * k_total + k] = S(0);
    if (g.db != nullptr) g.db[o] = S(0);
  }
  TileContext<V> x(args, args.active, 0, args.tiles, 0);
  int64_t k_offset = 0;
  for (int i = 0; i < p.sources; ++i) {
    const int size = p.source[i].size;
    for (int begin = 0; begin < size; begin += kGradientUnits) {
      const int units = size - begin < kGradientUnits ? size - begin : kGradientUnits;
      const GradientChunk chunk{i, begin, units, k_offset + begin};
      const int run = gradient_run<V>(units);
      for (int tile = 0; tile < args.tiles; ++tile) {
        for (int repeat = 0; repeat < p.repeat; ++repeat) {
          for (int t = g.first_step; t < args.steps; t += run) {
            const int steps = args.steps - t < run ? args.steps - t : run;
            add_chunk<V>(x, args, g, chunk, tile, repeat, t, steps, k_total);
          }
        }
      }
    }
    k_offset += size;
  }
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
