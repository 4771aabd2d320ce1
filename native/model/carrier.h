/// States of recurrent layers that go on from one pass to the next, without a gradient between the
/// two: contiguous streams of training data, given and returned states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/layer_stream.h"

namespace lookback {

/// One recurrent layer that can begin a pass where another has ended.
template <class S>
class Carrier {
 public:
  virtual ~Carrier() = default;
  /// Makes room for the states of `batch` rows, which have none yet; 0 frees it. ERR_STATE where
  /// the layer's states mean nothing to a later pass.
  virtual void hold_states(int64_t batch) = 0;
  /// The states of the last pass that was kept.
  virtual std::vector<StreamState<S>>& held_states() = 0;
  /// The states of the last pass become the held ones: not before its update has succeeded.
  virtual void keep_states() = 0;
  /// False: passes begin afresh.
  virtual void set_started(bool started) = 0;
};

/// A carrier by its full name, '<layer>.'.
template <class S>
struct NamedCarrier {
  std::string prefix;
  Carrier<S>* carrier;
};

}  // namespace lookback
