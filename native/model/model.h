/// A sequence of layers with all the memory that it works in.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "model/chain.h"
#include "model/layer.h"

namespace lookback {

/// Owns the layers, one flat block of parameters, one of gradients, one of running statistics, and
/// the activations of one batch. Memory grows to the largest batch seen and is used again; a step
/// of a known shape allocates nothing.
template <class S>
class Model {
 public:
  /// `layers`: each with `kind`, an optional unique `name` (default: kind_1, kind_2, ...), an
  /// optional `trainable` and the layer's options. Parameters start from `seed`. Throws ERR_OPTION,
  /// ERR_MEMORY.
  Model(Backend<S>& backend, uint64_t seed, int64_t input_size,
        const std::vector<LayerSpec>& layers);

  const std::vector<std::unique_ptr<Layer<S>>>& layers() const { return chain_.layers(); }
  FeatureShape input() const { return layers().front()->input(); }
  FeatureShape output() const { return layers().back()->output(); }
  uint64_t seed() const { return seed_; }
  /// Parameters of one layer.
  int64_t parameter_count(size_t layer) const;

  /// Segments are named '<layer>.<parameter>'.
  const ArenaLayout& param_layout() const { return param_layout_; }
  const ArenaLayout& buffer_layout() const { return buffer_layout_; }
  Backend<S>& backend() { return backend_; }
  ParamArena<S>& params() { return params_; }
  ParamArena<S>& grads() { return grads_; }
  ParamArena<S>& buffers() { return buffers_; }

  /// Runs all layers on x [B, T, inputSize]; the result [B, T, F] or [B, F] stays valid until the
  /// next pass.
  const S* forward(const Pass& pass, const S* x) { return chain_.forward(pass, x); }
  /// Where the caller puts the gradient of the output of the last `forward`, before `backward`.
  S* output_gradient(const Pass& pass) { return chain_.output_gradient(pass); }
  /// Gradients of the last `forward`, which had `keep` and the same x: adds those of the parameters
  /// to `grads()`; that of x [B, T, inputSize] goes to `dx`, null to skip. Uses up what
  /// `output_gradient` gave.
  void backward(const Pass& pass, const S* x, S* dx) { chain_.backward(pass, x, dx); }

  /// Whether `settle` ever does anything.
  bool settles() const;
  /// After every update of the parameters, and once before the `first`: lets the layers that learn
  /// describe their matrices in another way (Recurrence::settle). Gives the segments of the
  /// parameters whose optimizer state no longer belongs to them.
  std::vector<size_t> settle(bool first);

  /// To be called wherever parameters or buffers have changed, but by training passes: what was
  /// made from them is then made again.
  void touch() { ++version_; }
  /// All recurrent layers, by '<layer>.'.
  std::vector<NamedCarrier<S>> carriers() const {
    std::vector<NamedCarrier<S>> list;
    for (const auto& layer : layers()) layer->carriers(layer->name() + ".", list);
    return list;
  }

  /// The name of the first layer whose last output holds a number that is not finite; empty where
  /// there is none.
  std::string first_non_finite_layer(const Pass& pass) const;
  /// The name of the first such segment of a block.
  std::string first_non_finite_segment(const ArenaLayout& layout, const ParamArena<S>& arena) const;

  /// Bytes of activations, tapes and their gradients, now.
  int64_t activation_bytes() const { return chain_.bytes(); }

 private:
  void add_layer(const LayerSpec& given, FeatureShape input);
  void place_tensors();
  bool all_finite(const S* values, int64_t size) const;

  Backend<S>& backend_;
  uint64_t seed_;
  uint64_t version_ = 1;
  LayerChain<S> chain_;
  uint32_t inner_index_ = 1 << 20;  ///< beyond those of the layers here
  std::vector<bool> trainable_;     ///< per layer
  ArenaLayout param_layout_, buffer_layout_;
  ParamArena<S> params_, grads_, buffers_;
  std::vector<std::vector<S*>> weights_;  ///< per layer: its parameters
};

}  // namespace lookback
