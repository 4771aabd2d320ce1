/// What the cells with an LSTM's gates have in common: the gates' two nonlinearities, and where
/// each gate lies in the stored weights.
#pragma once

#include <string>
#include <vector>

#include "base/spec.h"
#include "math/scalar.h"

namespace lookback {

/// The logistic function, or Keras' piecewise linear one.
template <bool kHard, class V>
HD V gate(V z) {
  if constexpr (kHard) return hard_sigmoid(z);
  return sigmoid(z);
}
/// Its derivative, from its value.
template <bool kHard, class V>
HD V d_gate(V s) {
  if constexpr (kHard) return d_hard_sigmoid(s);
  return d_sigmoid(s);
}

/// Option gateOrder: the gates i, f, g, o as they follow each other in the stored weights.
inline std::string gate_order(const Spec& spec) {
  const std::vector<std::string> orders = {"ifgo", "ifog", "igfo", "gfio", "fiog"};
  return orders[static_cast<size_t>(spec.choice("gateOrder", orders))];
}

/// First unit of gate `gate` (0..3: i, f, g, o) of `units` units in that order.
inline int stored_gate(const std::string& order, int gate, int units) {
  return static_cast<int>(order.find("ifgo"[gate])) * units;
}

}  // namespace lookback
