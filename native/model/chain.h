/// Layers one behind the other with the activations between them.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "model/layer.h"

namespace lookback {

/// Memory grows to the largest batch seen and is used again; a step of a known shape allocates
/// nothing.
template <class S>
class LayerChain {
 public:
  /// `memory`: the backend's; it outlives the chain.
  void add(std::unique_ptr<Layer<S>> layer, MemorySpace& memory) {
    layers_.push_back(std::move(layer));
    outputs_.emplace_back(memory);
    for (Buffer<S>& gradient : d_outputs_) gradient.use(memory);
  }
  const std::vector<std::unique_ptr<Layer<S>>>& layers() const { return layers_; }

  /// Runs all layers on x; the result stays valid until the next pass. `Pass::ending` is for the
  /// last layer.
  const S* forward(const Pass& pass, const S* x);
  /// Where the caller puts the gradient of the output of the last `forward`, before `backward`.
  S* output_gradient(const Pass& pass);
  /// Gradients of the last `forward`, which had `keep` and the same x: adds those of the parameters
  /// to the layers'; that of x goes to `dx`, null to skip. Uses up what `output_gradient` gave.
  void backward(const Pass& pass, const S* x, S* dx);

  /// What layer `i` gave in the last `forward`; until `backward`.
  const Buffer<S>& output_of(size_t i) const { return outputs_[i]; }
  /// Bytes of activations, tapes and gradients of activations, now.
  int64_t bytes() const;

 private:
  /// Where the gradient of what layer `i` gave is, [B, T, F] or [B, F].
  S* gradient_of(size_t i, const Pass& pass);
  Pass pass_of(const Pass& pass, size_t layer) const {
    Pass own = pass;
    if (layer + 1 < layers_.size()) own.ending = Activation::kLinear;
    return own;
  }

  std::vector<std::unique_ptr<Layer<S>>> layers_;
  std::vector<Buffer<S>> outputs_;  ///< per layer
  /// Gradients that lie apart from the activation: layer i reads that of its output from number i
  /// % 2.
  Buffer<S> d_outputs_[2];
};

}  // namespace lookback
