#include "backend/cuda/emulated.h"

#include "backend/cuda/block_context.h"
#include "backend/driver.h"
#include "backend/walk.h"
#include "cells/registry.h"

namespace lookback {
namespace {

// Small and odd, so that rows and units divide unevenly among threads.
constexpr int kRows = 4;
constexpr int kThreads = 3;

template <class S, class Walk>
void run_blocks(const SequenceArgs<S>& args, int worker, Walk walk) {
  const auto block = [&](int begin, int end) {
    launch_emulated(kThreads, [&](EmulatedThreads threads) {
      BlockContext<EmulatedThreads, S, kRows> x(threads, args, begin, end);
      walk(x);
    });
  };
  if (args.coupled) {
    block(0, args.tiles);
    return;
  }
  for (int tile = worker; tile < args.tiles; tile += args.workers) block(tile, tile + 1);
}

template <class S, class Cell>
void forward(const SequenceArgs<S>& args, const void* cell, int worker) {
  run_blocks(args, worker,
             [&](auto& x) { walk_forward(args, *static_cast<const Cell*>(cell), x); });
}

template <class S, class Cell>
void backward(const SequenceArgs<S>& args, const void* cell, int worker) {
  run_blocks(args, worker,
             [&](auto& x) { walk_backward(args, *static_cast<const Cell*>(cell), x); });
}

template <class S>
void weight_gradient(const SequenceArgs<S>& args, const WeightGradient<S>& g) {
  launch_emulated(kThreads, [&](EmulatedThreads threads) {
    block_weight_gradient<EmulatedThreads, S, kRows>(threads, args, g.linear, g.first_step,
                                                     g.row_begin, g.row_end, g.dW, g.db);
  });
}

template <class S, class List>
struct Loops;
template <class S, class... Types>
struct Loops<S, CellList<Types...>> {
  static constexpr CellLoops<S> kLoops[] = {
      {Types::kKey, forward<S, Types>, backward<S, Types>}...};
};

/// Packings without blocks: weights in the order [output][k].
template <class S>
constexpr DriverTable<S> kTable = {
    kRows,
    1,
    {1, 1, 1, 1, 1},
    false,
    Loops<S, Cells>::kLoops,
    Cells::kSize,
    weight_gradient<S>,
    1,
    nullptr,
    0,
};

}  // namespace

template <>
const DriverTable<float>& emulated_kernels<float>() {
  return kTable<float>;
}
template <>
const DriverTable<double>& emulated_kernels<double>() {
  return kTable<double>;
}

}  // namespace lookback
