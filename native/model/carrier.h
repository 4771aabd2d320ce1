/// States of recurrent layers that go on from one pass to the next: contiguous streams of training
/// data, given and returned states. And their gradients, from a pass to the one before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/recurrent_states.h"

namespace lookback {

/// What a layer goes on from.
template <class S>
struct HeldStates {
  std::unique_ptr<RecurrentStates<S>> states;  ///< null: there is no room for any
  bool started = false;                        ///< false: passes begin afresh
};

/// The states that one recurrent layer begins a pass with and ends it with, or, of the other kind,
/// the gradients that its backward pass begins and ends with.
template <class S>
class Carrier {
 public:
  /// `recurrence` and `memory` outlive this.
  Carrier(const Recurrence<S>& recurrence, MemorySpace& memory, StateKind kind)
      : recurrence_(recurrence), memory_(memory), kind_(kind) {}

  /// Says why the states mean nothing to another pass.
  void refuse(std::string reason) { refusal_ = std::move(reason); }

  /// Room for the states of `batch` rows, which have none yet. ERR_STATE where the layer's states
  /// mean nothing to a later pass.
  std::unique_ptr<RecurrentStates<S>> make_states(int64_t batch) const {
    REQUIRE(refusal_.empty(), kState, refusal_);
    return std::make_unique<RecurrentStates<S>>(recurrence_, memory_, batch, kind_);
  }
  /// Those that passes begin from; others may be put in their place.
  HeldStates<S>& held() { return held_; }
  int64_t bytes() const { return held_.states ? held_.states->bytes() : 0; }

 private:
  const Recurrence<S>& recurrence_;
  MemorySpace& memory_;
  StateKind kind_;
  std::string refusal_;
  HeldStates<S> held_;
};

/// Those of a layer, by its full name, '<layer>.'.
template <class S>
struct NamedCarrier {
  std::string prefix;
  Carrier<S>* states;
  Carrier<S>* gradients;

  Carrier<S>& of(StateKind kind) const { return kind == StateKind::kValues ? *states : *gradients; }
};

}  // namespace lookback
