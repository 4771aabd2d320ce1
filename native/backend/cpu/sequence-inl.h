/// The CPU's driver: a worker owns whole tiles of batch rows for the whole sequence, one after the other, so there is no
/// barrier in the loop; only cells whose rows meet in batch statistics (`coupled`) walk all tiles through time together.
#pragma once

#include "backend/cpu/context-inl.h"
#include "backend/walk.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

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
  run_tiles<V, Cell>(args, cell, worker, walk_forward<TileContext<V>, Cell>);
}

template <class V, class Cell>
void run_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_tiles<V, Cell>(args, cell, worker, walk_backward<TileContext<V>, Cell>);
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
