/// Updates the parameters of a model from their gradients.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"

namespace lookback {

/// Parameters that learn in a way of their own.
struct ParamGroup {
  std::vector<std::string> params;  ///< '<layer>.<parameter>'
  Spec optimizer;                   ///< as that of all others, without `clipNorm`
  bool trainable = true;            ///< false: stays as it is; `optimizer` is not read
};

/// The optimizers of all parameters with their slots (momentum, moments), flat blocks in the layout
/// of the parameters.
template <class S>
class Optimizer {
 public:
  /// Options: kind ('sgd', 'rmsprop', 'adam', 'adamw', 'adagrad', 'adadelta'), learningRate
  /// (default 1), beta1, beta2, epsilon, momentum, nesterov, rho, amsgrad, epsilonInside,
  /// initialMeanSquare, initialAccumulator, l2 (added to the gradient), weightDecay (decoupled),
  /// clipValue (largest absolute value of an entry of the gradient; 0: no clipping), clipNorm
  /// (largest norm of the gradient of all groups together, before clipValue; 0: no clipping).
  /// Defaults are PyTorch's. `groups`: what differs from `spec`; a parameter is in one group at
  /// most. Throws ERR_OPTION, ERR_MEMORY.
  /// The slots lie in the backend's memory; it outlives this.
  Optimizer(Backend<S>& backend, const Spec& spec, const std::vector<ParamGroup>& groups,
            const ArenaLayout& layout);

  /// What an optimizer keeps for one parameter: "firstMoment", "meanSquare", ...
  struct Slot {
    const char* name;
    const Segment* segment;  ///< the parameter
    S* values;
  };
  std::vector<Slot> slots();
  /// Copies all slots, for `restore`, which never fails.
  void keep();
  void restore();
  /// The state of one parameter as after compiling, for one that is now described in another way.
  void reset(size_t segment);
  int64_t bytes() const;

  /// The rate of the parameters that are in no group.
  double learning_rate() const { return groups_.front().learning_rate; }
  /// Gradients of parameters that do not learn become zero, so that they are no part of the norm.
  void drop_frozen(ParamArena<S>& grads) const;
  /// One update of every trainable segment; `update` counts from 1. `factor`: on every learning
  /// rate. `grad_norm` is the norm of `grads`.
  void apply(int64_t update, double factor, double grad_norm, ParamArena<S>& params,
             const ParamArena<S>& grads);

 private:
  static constexpr int kPlaces = 3;  ///< of OptimizerStep
  struct Group {
    OptimizerStep<S> step;
    double learning_rate = 1;
    bool trainable = true;
    const char* slot[kPlaces] = {};  ///< names; null where this kind has none
    double start[kPlaces] = {};
  };
  struct Range {
    int64_t begin, end;
    size_t group;
  };

  static Group read_group(const Spec& spec);
  void place_params(const std::vector<ParamGroup>& groups);
  void place_ranges();
  int64_t end_of(size_t segment) const;

  Backend<S>* backend_;  ///< a pointer, so that a trainer can put another optimizer in its place
  const ArenaLayout& layout_;
  double clip_norm_ = 0;
  std::vector<Group> groups_;     ///< the first: of all parameters that are in no other
  std::vector<size_t> group_of_;  ///< per segment
  ParamArena<S> places_[kPlaces];
  ParamArena<S> kept_[kPlaces];  ///< by `keep`
  std::vector<Range> ranges_;  ///< parts of the flat block that learn in one way, neighbours joined
};

}  // namespace lookback
