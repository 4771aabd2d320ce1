/// States of recurrent layers that go on from one pass to the next: contiguous streams of training
/// data, given and returned states. And their gradients, from a pass to the one before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/layer_stream.h"
#include "model/recurrent_states.h"

namespace lookback {

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

  /// Makes room for the states of `batch` rows, zeros; 0 frees it. ERR_STATE where the layer's
  /// states mean nothing to a later pass.
  void hold_states(int64_t batch) {
    held_.reset();
    started_ = false;
    if (batch == 0) return;
    REQUIRE(refusal_.empty(), kState, refusal_);
    held_ = std::make_unique<RecurrentStates<S>>(recurrence_, memory_, batch, kind_);
  }
  std::vector<StreamState<S>>& held_states() {
    static std::vector<StreamState<S>> none;
    return held_ ? held_->states() : none;
  }
  /// What the last pass has made becomes the held states: those of a kept one not before its update
  /// has succeeded.
  void keep_states() {
    if (held_) held_->keep();
  }
  /// False: passes begin afresh.
  void set_started(bool started) { started_ = started; }
  bool started() const { return started_; }
  /// Null where none are held.
  RecurrentStates<S>* held() { return held_.get(); }
  int64_t bytes() const { return held_ ? held_->bytes() : 0; }

 private:
  const Recurrence<S>& recurrence_;
  MemorySpace& memory_;
  StateKind kind_;
  std::string refusal_;
  std::unique_ptr<RecurrentStates<S>> held_;
  bool started_ = false;
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
