/// The products and reductions of one step of a cell's program, in order: what the stepwise driver
/// launches between a program's phases. Found by running the program over a context that only notes
/// what it is asked for.
#pragma once

#include <vector>

#include "backend/cuda/block_args.h"
#include "backend/sequence.h"
#include "cells/cell.h"

namespace lookback {

struct StepBoundary {
  enum Kind { kLinear, kAdjoint, kReduction } kind;
  int linear = -1;
};

/// Phases [0 .. boundaries.size()] are the operations before, between and after the boundaries.
struct StepRecord {
  std::vector<StepBoundary> boundaries;
  std::vector<int> times;             ///< of each boundary: `begin` and `finish` run for several
  std::vector<bool> works = {false};  ///< whether a phase has any operation
};

/// `cell`: the struct of registry entry `index`; `args` and `slots` are those of the pass.
template <class S>
StepRecord record_step(const Declaration& d, int index, const void* cell,
                       const SequenceArgs<S>& args, const BlockSlot* slots, BlockPass pass,
                       int time);

}  // namespace lookback
