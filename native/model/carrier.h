/// States of recurrent layers that go on from one pass to the next, without a gradient between the
/// two: contiguous streams of training data, given and returned states.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "model/recurrent_states.h"

namespace lookback {

/// What a layer goes on from.
template <class S>
struct HeldStates {
  std::unique_ptr<RecurrentStates<S>> states;  ///< null: there is no room for any
  bool started = false;                        ///< false: passes begin afresh
};

/// One recurrent layer that can begin a pass where another has ended.
template <class S>
class Carrier {
 public:
  virtual ~Carrier() = default;
  /// Room for the states of `batch` rows, which have none yet. ERR_STATE where the layer's states
  /// mean nothing to a later pass.
  virtual std::unique_ptr<RecurrentStates<S>> make_states(int64_t batch) = 0;
  /// Those that passes begin from; others may be put in their place.
  virtual HeldStates<S>& held() = 0;
};

/// A carrier by its full name, '<layer>.'.
template <class S>
struct NamedCarrier {
  std::string prefix;
  Carrier<S>* carrier;
};

}  // namespace lookback
