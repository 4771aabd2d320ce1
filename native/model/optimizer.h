/// Updates the parameters of a model from their gradients.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"

namespace lookback {

/// An optimizer with its slots (momentum, moments), flat blocks in the layout of the parameters.
template <class S>
class Optimizer {
 public:
  /// Options: kind ('sgd', 'rmsprop', 'adam', 'adamw'), beta1, beta2, epsilon, momentum, nesterov,
  /// rho, l2 (added to the gradient), weightDecay (decoupled), clipNorm (largest global norm of the
  /// gradient; 0: no clipping). Defaults are PyTorch's. Throws ERR_OPTION, ERR_MEMORY.
  Optimizer(const Spec& spec, const ArenaLayout& layout);

  /// One named slot of all parameters: "firstMoment", "secondMoment", "meanSquare", "momentum".
  struct Slot {
    std::string name;
    ParamArena<S> values;
  };
  std::vector<Slot>& slots() { return slots_; }
  int64_t bytes() const;

  /// One update of every trainable segment; `update` counts from 1. `grad_norm` is the norm of
  /// `grads`.
  void apply(Backend<S>& backend, int64_t update, double learning_rate, double grad_norm,
             ParamArena<S>& params, const ParamArena<S>& grads);

 private:
  struct Range {
    int64_t begin, end;
  };

  OptimizerStep<S> step_;
  double clip_norm_ = 0;
  std::vector<Slot> slots_;
  std::vector<Range> ranges_;  ///< trainable parts of the flat block, neighbours joined
};

}  // namespace lookback
