/// The loop over time on the GPU: a whole pass by one block (resident driver), or the part of one
/// that a launch names (stepwise driver).
#pragma once

#include <type_traits>

#include "backend/cuda/block_context.h"
#include "backend/walk.h"

namespace lookback {

struct Lstm;
struct BnLstm;
struct Rnn;
struct Rra;
struct Scornn;
struct Exprnn;
struct Scurnn;

template <class T, class... Types>
constexpr bool kIsOneOf = (std::is_same_v<T, Types> || ...);

/// Whether a cell's loops are made a second time, with weights in registers: where it may have one
/// product alone, in float.
template <class Cell, class S>
constexpr bool kHoldsWeights =
    sizeof(S) == sizeof(float) && kIsOneOf<Cell, Lstm, BnLstm, Rnn, Rra, Scornn, Exprnn, Scurnn>;

template <class Threads, class S>
HD BlockPlaces<S> places_of(Threads threads, const BlockArgs<S>& args, const BlockWork& work,
                            S* shared) {
  S* const active = args.walk.active;
  if (work.batchwise) return {args, shared, 0, static_cast<int>(args.walk.batch), 0, 0, active};
  const int64_t begin = int64_t{threads.block() / args.cluster} * args.rows;
  // The last shares of a batch may have no row.
  const int64_t left = args.walk.batch > begin ? args.walk.batch - begin : 0;
  return {args,
          shared,
          begin,
          static_cast<int>(left < args.rows ? left : args.rows),
          threads.block() % args.cluster,
          args.shares > 1 ? threads.block() : 0,
          args.cluster > 1 ? shared + args.common : active + begin};
}

template <class Cell, int kQuads, class Threads, class S>
HD void block_forward(Threads threads, const BlockArgs<S>& args, const BlockWork& work, S* shared) {
  using X = BlockContext<Threads, S, kQuads>;
  const BlockPlaces<S> places = places_of(threads, args, work, shared);
  const Cell& cell = *reinterpret_cast<const Cell*>(args.cell);
  X x(threads, places, work);
  const bool whole = work.pass == BlockPass::kForward;
  const int first = whole ? 0 : work.time, last = whole ? args.walk.steps : work.time + 1;
  x.open(false);
  if constexpr (requires { cell.pools(x); }) {
    if ((whole && cell.pools(x)) || work.pass == BlockPass::kSurveyStep) {
      for (int t = first; t < last && !x.stop(); ++t) walk_survey_step(args.walk, cell, x, t);
    }
    if ((whole && cell.pools(x)) || work.pass == BlockPass::kPool) cell.pool(x, args.walk.steps);
  }
  if (whole || work.pass == BlockPass::kStart) walk_start(args.walk, cell, x);
  if (whole || work.pass == BlockPass::kForwardStep) {
    for (int t = first; t < last && !x.stop(); ++t) walk_forward_step(args.walk, cell, x, t);
  }
  x.close();
}

template <class Cell, int kQuads, class Threads, class S>
HD void block_backward(Threads threads, const BlockArgs<S>& args, const BlockWork& work,
                       S* shared) {
  using X = BlockContext<Threads, S, kQuads>;
  const BlockPlaces<S> places = places_of(threads, args, work, shared);
  const Cell& cell = *reinterpret_cast<const Cell*>(args.cell);
  X x(threads, places, work);
  const bool whole = work.pass == BlockPass::kBackward;
  const int first = whole ? args.walk.steps - 1 : work.time, last = whole ? 0 : work.time;
  x.open(true);
  if (whole || work.pass == BlockPass::kTurn) walk_turn(args.walk, x);
  if (whole || work.pass == BlockPass::kBackwardStep) {
    for (int t = first; t >= last && !x.stop(); --t) walk_backward_step(args.walk, cell, x, t);
  }
  if constexpr (requires { cell.pools(x); }) {
    if ((whole && cell.pools(x)) || work.pass == BlockPass::kSettleStep) {
      const S* const totals = walk_settle_begin(cell, x);
      for (int t = last; t <= first && !x.stop(); ++t)
        walk_settle_step(args.walk, cell, x, t, totals);
    }
  }
  if (whole || work.pass == BlockPass::kFinish) walk_finish(args.walk, cell, x);
  x.close();
}

}  // namespace lookback
