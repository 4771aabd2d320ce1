/// The CPU's driver: a worker owns whole tiles of batch rows for the whole sequence, one after the
/// other, so there is no barrier in the loop; only cells whose rows meet in batch statistics
/// (`coupled`) walk all tiles through time together.
#pragma once

#include "backend/cpu/context-inl.h"
#include "backend/cpu/gradient-inl.h"
#include "backend/walk.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// Vectors of rows of a cell's tiles. (A tile of one row is a thing of its own, see
/// unit_context-inl.h.)
template <class V, class Cell>
constexpr int tile_vectors() {
  if constexpr (requires { Cell::kTileVectors; } && NumberTraits<V>::kLanes > 1)
    return Cell::kTileVectors;
  return kGroups;
}
template <class V, class Cell>
using ContextOf = TileContext<V, tile_vectors<V, Cell>()>;

template <class V, class Cell, class Walk>
void run_tiles(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker, Walk walk) {
  const int first = args.coupled ? args.tiles * worker / args.workers : worker;
  const int next = args.coupled ? args.tiles : args.workers;
  // The walk is called in one place, so that all of a cell's code is compiled once.
  for (int tile = first; tile < args.tiles; tile += next) {
    const int end = args.coupled ? args.tiles * (worker + 1) / args.workers : tile + 1;
    ContextOf<V, Cell> x(args, args.active, tile, end, worker);
    // The first step of a tile touches memory that may be fresh: a cancelled call begins no other.
    if (x.stop()) return;
    walk(args, *static_cast<const Cell*>(cell), x);
  }
}

template <class V, class Cell>
void run_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_tiles<V, Cell>(args, cell, worker, walk_forward<ContextOf<V, Cell>, Cell>);
}

template <class V, class Cell>
void run_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_tiles<V, Cell>(args, cell, worker, walk_backward<ContextOf<V, Cell>, Cell>);
}

/// The part of a weight gradient that stays in the second-level cache: some units of all sources,
/// counted through, over a run of steps of one tile. Behind the last unit comes the bias: the
/// weight of a unit that is always 1.
struct GradientChunk {
  int unit_begin, units;
  int tile, repeat, time, steps;
};

/// Packs the chunk's units; they may lie in several sources.
template <class X>
void pack_sources(const X& x, const SequenceArgs<typename X::S>& args,
                  const PackedLinear<typename X::S>& p, const GradientChunk& chunk,
                  typename X::S* to) {
  using V = typename X::Number;
  const int end = chunk.unit_begin + chunk.units;
  const int rows = x.rows_of(chunk.tile);
  int begin = 0;
  for (int i = 0; i < p.sources; ++i) {
    const auto& source = p.source[i];
    const int first = chunk.unit_begin > begin ? chunk.unit_begin - begin : 0;
    const int last = end - begin < source.size ? end - begin : source.size;
    if (first < last) {
      const auto* from = x.tile_base(chunk.tile) + x.place(source.slot, source.dt).offset +
                         (source.begin + int64_t{chunk.repeat} * source.size + first) * X::kStride;
      pack_lines<V>(from, int64_t{args.slots[source.slot].size} * X::kStride, last - first,
                    chunk.steps, {rows, X::kStride},
                    to + (begin + first - chunk.unit_begin) * kGradientLine<V>);
    }
    begin += source.size;
  }
  if (end > begin) {
    auto* ones = to + (begin - chunk.unit_begin) * kGradientLine<V>;
    for (int k = 0; k < chunk.steps * rows; ++k) ones[k] = typename X::S(1);
  }
}

/// Adds one chunk to dW: its units are packed once, a panel of d_out after the other beside them in
/// the first-level cache.
template <class X>
void add_chunk(X& x, const SequenceArgs<typename X::S>& args,
               const WeightGradient<typename X::S>& g, const GradientChunk& chunk) {
  using V = typename X::Number;
  using S = typename X::S;
  constexpr int kStride = X::kStride, kColumns = kPanelColumns<V>;
  const PackedLinear<S>& p = args.linears[g.linear];
  const int tile_rows = x.rows_of(chunk.tile);
  S* const panel = g.scratch;
  S* const units = panel + kGradientPanel<V>;
  x.set_time(chunk.time);
  pack_sources(x, args, p, chunk, units);
  const S* d_out = x.tile_base(chunk.tile) + x.place(p.d_out, 0).offset +
                   int64_t{p.d_out_begin + chunk.repeat * p.rows} * kStride;
  const int64_t d_step = int64_t{args.slots[p.d_out].size} * kStride;
  Gemm<S> product;
  product.m = chunk.units;
  product.k = int64_t{chunk.steps} * tile_rows;
  product.a = units;
  product.a_row = kGradientLine<V>;
  product.c_row = p.rows;
  product.beta = S(1);
  for (int o = g.row_begin; o < g.row_end; o += kColumns) {
    product.n = g.row_end - o < kColumns ? g.row_end - o : kColumns;
    product.c = g.dW + int64_t{chunk.unit_begin} * p.rows + o;
    pack_panel<V>(d_out + int64_t{o} * kStride, d_step, g.row_end - o, chunk.steps,
                  {tile_rows, kStride}, panel);
    multiply_panel<V>(product, panel);
  }
}

/// Adds steps [begin, end) of one tile to dW, for the units of `chunk`.
template <class X>
void add_steps(X& x, const SequenceArgs<typename X::S>& args,
               const WeightGradient<typename X::S>& g, GradientChunk chunk, int begin, int end) {
  const int most = kPanelDepth<typename X::Number> / x.rows_of(chunk.tile);
  for (chunk.repeat = 0; chunk.repeat < args.linears[g.linear].repeat; ++chunk.repeat) {
    for (chunk.time = begin; chunk.time < end; chunk.time += most) {
      if (x.stop()) return;  // the caller sees that as well, and throws
      chunk.steps = end - chunk.time < most ? end - chunk.time : most;
      add_chunk(x, args, g, chunk);
    }
  }
}

/// Units of all sources of a Linear, the bias among them.
template <class S>
int gradient_units_of(const PackedLinear<S>& p, bool bias) {
  int all = bias ? 1 : 0;
  for (int i = 0; i < p.sources; ++i) all += p.source[i].size;
  return all;
}

/// Outputs [row_begin, row_end) of dW = sum over tiles, steps and batch rows of source d_out^T, in
/// that fixed order.
template <class X>
void tiles_gradient(const SequenceArgs<typename X::S>& args,
                    const WeightGradient<typename X::S>& g) {
  using V = typename X::Number;
  using S = typename X::S;
  const PackedLinear<S>& p = args.linears[g.linear];
  const int all = gradient_units_of(p, g.bias);
  for (int k = 0; k < all; ++k)
    for (int o = g.row_begin; o < g.row_end; ++o) g.dW[int64_t{k} * p.rows + o] = S(0);
  X x(args, args.active, 0, args.tiles, 0);
  const int units = gradient_units<V>(all);
  for (int begin = 0; begin < all; begin += units) {
    const int count = all - begin < units ? all - begin : units;
    for (int tile = 0; tile < args.tiles; ++tile)
      add_steps(x, args, g, {begin, count, tile, 0, 0, 0}, g.first_step, args.steps);
  }
}
template <class V>
void weight_gradient(const SequenceArgs<ScalarOf<V>>& args, const WeightGradient<ScalarOf<V>>& g) {
  const bool narrow = args.tile_rows < kTileRows<V>;
  narrow ? tiles_gradient<TileContext<V, 1>>(args, g) : tiles_gradient<TileContext<V>>(args, g);
}

template <class V, int kVectors>
void TileContext<V, kVectors>::sum_recent() {
  const int time = time_;
  if (time < 0 || time % kRecentSteps != 0) return;
  const int end = args_.steps - time < kRecentSteps ? args_.steps : time + kRecentSteps;
  for (int i = 0; i < args_.recent_count; ++i) {
    const RecentGradient<S>& recent = args_.recent[i];
    WeightGradient<S> g;
    g.linear = recent.linear;
    g.bias = recent.bias;
    g.row_end = args_.linears[g.linear].rows;
    g.scratch = args_.gradient_scratch[worker_];
    const int all = gradient_units_of(args_.linears[g.linear], g.bias);
    const int units = gradient_units<V>(all);
    for (int tile = begin_; tile < end_; ++tile) {
      g.dW = recent.dW + tile * recent.numbers;
      for (int begin = 0; begin < all; begin += units) {
        const int count = all - begin < units ? all - begin : units;
        add_steps(*this, args_, g, {begin, count, tile, 0, 0, 0}, time, end);
      }
    }
  }
  time_ = time;
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
