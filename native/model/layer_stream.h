/// One layer of a stream: a step of a fixed batch with what the layer remembers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"

namespace lookback {

/// A state of a layer between two steps.
template <class S>
struct StreamState {
  std::string name;
  std::vector<int64_t> shape;
  Buffer<S> values;
};

template <class S>
class LayerStream {
 public:
  /// A state by its full name.
  struct Entry {
    std::string name;
    StreamState<S>* state;
  };

  virtual ~LayerStream() = default;
  /// x [B, in], y [B, out]; not the same.
  virtual void step(const S* x, S* y) = 0;
  /// The last step has succeeded in all layers: what it made is what the next begins from.
  virtual void keep() {}
  /// Adds its states, named after `prefix`, to a list.
  virtual void collect(const std::string& prefix, std::vector<Entry>& to) {
    static_cast<void>(prefix);
    static_cast<void>(to);
  }
  /// True: the states are those that a step has made. False: they mean nothing, and the next step
  /// is the first.
  virtual void set_started(bool started) { static_cast<void>(started); }
  virtual int64_t bytes() const { return 0; }
};

}  // namespace lookback
