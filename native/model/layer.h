/// One layer of a model: a function of a batch with its gradient. Virtual calls happen here, a few
/// per training step, and nowhere below.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/error.h"
#include "model/carrier.h"
#include "model/layer_stream.h"

namespace lookback {

/// What a layer gives or takes: [B, T, features] or, without a time axis, [B, features].
struct FeatureShape {
  bool sequence = true;
  int64_t features = 0;

  /// Elements of a batch, checked (ERR_MEMORY).
  int64_t elements(int64_t batch, int64_t steps) const {
    const int64_t rows = sequence ? checked_mul(batch, steps, "batch times steps") : batch;
    return checked_mul(rows, features, "an activation");
  }
};

/// What a pass over one batch needs beside the numbers.
struct Pass {
  int64_t batch = 0;
  int64_t steps = 0;
  const int32_t* lengths = nullptr;  ///< [B] valid steps per row, or null: all
  bool training = false;             ///< batch statistics, dropout
  bool keep = false;                 ///< a backward pass will follow
  /// [B, T] or null: 1 before a step that starts afresh, else 0.
  const int32_t* resets = nullptr;
  /// Recurrent layers begin from the states they hold and make the next ones (Carrier).
  bool carry = false;
  /// Backward: likewise with the gradients of the states behind the pass and before it.
  bool carry_gradients = false;
  /// What the last layer leaves out where it ends in it, because the loss contains it.
  Activation ending = Activation::kLinear;
  DropoutKey dropout;  ///< `layer` is filled in by each layer
};

/// Where a layer's tensors live, in the order of `params()` and `buffers()`. All outlive the layer.
template <class S>
struct LayerMemory {
  std::vector<const S*> params;
  std::vector<S*> grads;  ///< accumulated into; null where the layer is frozen
  std::vector<S*> buffers;
  /// Changes with every change of the parameters or buffers outside of training passes.
  const uint64_t* version = nullptr;
};

/// A layer as it arrives: `kind`, `name`, `trainable` and the layer's options, and the layers
/// inside it.
struct LayerSpec {
  Spec options;
  std::vector<LayerSpec> inner;

  LayerSpec(Spec given, std::vector<LayerSpec> layers = {})  // NOLINT: most layers are a Spec
      : options(std::move(given)), inner(std::move(layers)) {}
};

/// What every kind of layer is made from.
template <class S>
struct LayerSetup {
  Backend<S>& backend;
  std::string name;
  std::string kind;
  Spec options;  ///< without `name`, `kind` and `trainable`
  uint32_t index = 0;
  FeatureShape input;
  const std::vector<LayerSpec>& inner;
  uint32_t* inner_index;  ///< the index of the next layer inside another
};

template <class S>
class Layer {
 public:
  explicit Layer(const LayerSetup<S>& setup)
      : backend_(setup.backend),
        name_(setup.name),
        kind_(setup.kind),
        index_(setup.index),
        input_(setup.input),
        output_(setup.input) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  const std::string& name() const { return name_; }
  const std::string& kind() const { return kind_; }
  FeatureShape input() const { return input_; }
  FeatureShape output() const { return output_; }

  virtual std::vector<ParamInfo> params() const { return {}; }
  virtual std::vector<BufferInfo> buffers() const { return {}; }
  /// Once, before the first pass.
  virtual void bind(LayerMemory<S> memory) { memory_ = std::move(memory); }

  /// x  in   [B, T, input] or [B, input]
  /// y  out  likewise, of the output shape; not x
  virtual void forward(const Pass& pass, const S* x, S* y) = 0;
  /// The gradient of the last `forward`, which had `keep` and, where they are read, the same x and
  /// y. dy  in   gradient of y; overwritten dx  out  gradient of x, assigned; null where nobody
  /// asks
  virtual void backward(const Pass& pass, const S* x, const S* y, S* dy, S* dx) = 0;

  /// Whether `backward` reads its x, and its y. The gradient between two layers that both do
  /// without lies where the activation was: one and the same array is then y and dy of the first,
  /// x and dx of the second.
  virtual bool reads_x() const { return true; }
  virtual bool reads_y() const { return true; }

  /// Whether `settle` ever does anything.
  virtual bool settles() const { return false; }
  /// After every update of the parameters, and once before the `first`: see Recurrence::settle.
  /// `params` are those of `bind`, to be written. Gives positions in `params()`.
  virtual std::vector<int> settle(const std::vector<S*>& params, bool first) {
    static_cast<void>(params);
    static_cast<void>(first);
    return {};
  }

  /// This layer in a stream; it outlives that. By default a layer that remembers nothing: `forward`
  /// of one step. ERR_STATE where it reads steps to come.
  virtual std::unique_ptr<LayerStream<S>> make_stream(int64_t batch);
  /// Adds the recurrent layers in it, under names that begin with `prefix`.
  virtual void carriers(const std::string& prefix, std::vector<NamedCarrier<S>>& to) {
    static_cast<void>(prefix);
    static_cast<void>(to);
  }
  /// Adds how the recurrent layers in it run; `name` is this layer's in full.
  virtual void explain(const PlanCall& call, const std::string& name,
                       std::vector<LoopPlan>& to) const {
    static_cast<void>(call);
    static_cast<void>(name);
    static_cast<void>(to);
  }
  /// Bytes kept between passes.
  virtual int64_t bytes() const { return 0; }

 protected:
  Backend<S>& backend_;
  std::string name_;
  std::string kind_;
  uint32_t index_;
  FeatureShape input_;
  FeatureShape output_;
  /// Throws ERR_STATE that says why there is no stream.
  [[noreturn]] void refuse_stream(const std::string& reason) const {
    fail(ErrorCode::kState, "layer '" + name_ + "' " + reason +
                                ", so this model cannot be run step by step; use predict");
  }

  LayerMemory<S> memory_;
};

/// 'dense': y = activation(x W^T + b), per row or per step. Options: units, activation, useBias,
/// init.
template <class S>
std::unique_ptr<Layer<S>> make_dense(const LayerSetup<S>& setup);

/// 'dropout': inverted, in training only. Options: rate.
template <class S>
std::unique_ptr<Layer<S>> make_dropout(const LayerSetup<S>& setup);

/// A recurrent cell, by its key. Options: returnSequences (default false: the last valid step),
/// goBackwards (from the last valid step to the first; outputs stand at the steps they were read
/// at) and the cell's own.
template <class S>
std::unique_ptr<Layer<S>> make_recurrent(const LayerSetup<S>& setup);

/// 'embedding': rows of a table, by whole numbers in the input's one feature. Options: inputDim,
/// units, init. There is no gradient of the input.
template <class S>
std::unique_ptr<Layer<S>> make_embedding(const LayerSetup<S>& setup);

/// 'layerNorm': every row or step to mean 0 and variance 1, times gamma plus beta. Options:
/// epsilon.
template <class S>
std::unique_ptr<Layer<S>> make_layer_norm(const LayerSetup<S>& setup);

/// 'pool': one row out of the valid steps. Options: over ('last', 'mean', 'max').
template <class S>
std::unique_ptr<Layer<S>> make_pool(const LayerSetup<S>& setup);

/// 'bidirectional': the recurrent layer inside, once forwards and once backwards. Options: merge
/// ('concat', 'sum').
template <class S>
std::unique_ptr<Layer<S>> make_bidirectional(const LayerSetup<S>& setup);

/// 'residual': x plus what the layers inside make of it.
template <class S>
std::unique_ptr<Layer<S>> make_residual(const LayerSetup<S>& setup);

/// Any of these, by `setup.kind`.
template <class S>
std::unique_ptr<Layer<S>> make_layer(const LayerSetup<S>& setup);

/// Whether a kind is that of a recurrent cell.
bool is_recurrent(const std::string& kind);

/// Throws ERR_OPTION for an option of `spec` that is not in `known`.
void require_known_options(const std::string& owner, const Spec& spec,
                           const std::vector<std::string>& known);

}  // namespace lookback
