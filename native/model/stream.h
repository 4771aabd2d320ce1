/// A model that takes its input step by step: what it remembers lives here, not in the model.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/host_tensor.h"
#include "model/layer_stream.h"
#include "model/model.h"

namespace lookback {

/// The states of a batch of sequences under one model, which outlives it. Outputs equal those of
/// the model's forward pass over all steps at once, to the bit. After the first steps nothing of
/// this object allocates.
template <class S>
class ModelStream {
 public:
  /// ERR_STATE for a layer that reads steps to come; ERR_MEMORY.
  ModelStream(Model<S>& model, int64_t batch);

  int64_t batch() const { return batch_; }
  int64_t input_size() const { return batch_ * model_.input().features; }
  int64_t output_size() const { return batch_ * model_.output().features; }

  /// One step of every sequence. x [B, inputSize] is checked: ERR_DATA where it is not finite.
  /// y [B, outputs]. A step that fails has not been: the states are those before it.
  void step(const S* x, S* y);
  /// Back to before the first step.
  void reset() { set_started(false); }
  /// The states after the last step, '<layer>.<state>'; none before the first step.
  NamedTensors state() const;
  /// As `state` gave them, of any stream of this batch. All or nothing; ERR_FORMAT, ERR_DATA.
  void set_state(NamedTensors state);
  int64_t bytes() const;

 private:
  void set_started(bool started);
  std::vector<typename LayerStream<S>::Entry> entries() const;

  Model<S>& model_;
  int64_t batch_;
  std::vector<std::unique_ptr<LayerStream<S>>> layers_;
  std::vector<Buffer<S>> outputs_;  ///< of all layers; of the last where it is not the host's
  Buffer<S> x_;                     ///< likewise
  bool started_ = false;
};

}  // namespace lookback
