/// Several layers of one cell as a single recurrence: LARNN's `layers` and `stacking` (section 5 of
/// its document).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/array_space.h"
#include "backend/backend.h"

namespace lookback {

enum class Stacking {
  kStack,     ///< layer j reads layer j-1's output
  kResidual,  ///< s_j = s_{j-1} + layer_j(s_{j-1})
  kReplay,    ///< one set of weights runs over the same input again and again, its state going on
  kReplayResidual,  ///< the same, x + the sum of all passes
};

template <class S>
class StackTape;
template <class T>
class Refill;

/// Names of parameters, buffers and masks carry the layer: "l0.W_x", "buf.l1.bn_k.mean",
/// "mask.l0.hidden" (for replays the number of the pass, on masks). States have one more leading
/// dimension: h0 [weight sets, B, H], h_n [passes, B, H].
template <class S>
class LayerStack final : public Recurrence<S> {
 public:
  /// Makes a layer from its own spec.
  using MakeLayer = std::function<std::unique_ptr<Recurrence<S>>(const Spec& spec)>;

  LayerStack(MakeLayer make_layer, const ArraySpace<S>& arrays, const std::string& key,
             const Spec& spec);

  const CellInfo& info() const override { return info_; }
  std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const override;
  std::vector<std::string> differentiable_inputs() const override;
  std::string couples_rows(bool training) const override;
  /// One for each set of weights.
  std::vector<LoopPlan> explain(const PlanCall& call) const override;
  std::vector<TensorInfo> saved(int64_t batch, int64_t steps) const override;
  void read_saved(const Tape& tape, const Tensors<S>& to) const override;
  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override;
  void forward(const ForwardCall<S>& call, Tape& tape) override;
  void backward(const BackwardCall<S>& call, Tape& tape) override;

 private:
  using Layers = std::vector<std::unique_ptr<Recurrence<S>>>;

  bool replays() const {
    return stacking_ == Stacking::kReplay || stacking_ == Stacking::kReplayResidual;
  }
  bool residual() const {
    return stacking_ == Stacking::kResidual || stacking_ == Stacking::kReplayResidual;
  }
  /// Whether something stands between the passes and y: a single layer without a sum writes y
  /// itself.
  bool has_stream() const { return passes_ > 1 || residual(); }
  Layers make_layers(const Spec& spec);
  void require_call(const ForwardCall<S>& call) const;
  void build_tapes(StackTape<S>& t, bool masked);
  void run_pass(const ForwardCall<S>& call, StackTape<S>& t, int pass);
  void bind_tensors(const ForwardCall<S>& call, StackTape<S>& t, int pass);
  void bind_states(const ForwardCall<S>& call, StackTape<S>& t, int pass, Refill<const S>& inputs,
                   Refill<S>& outputs);
  void write_states(const ForwardCall<S>& call, const StackTape<S>& t);
  void join_stream(const ForwardCall<S>& call, StackTape<S>& t, int pass);
  void run_pass_backward(const BackwardCall<S>& call, StackTape<S>& t, int pass);
  void bind_state_gradients(const BackwardCall<S>& call, StackTape<S>& t, int pass,
                            Refill<const S>& upstream, Refill<S>& d_inputs);

  /// Zeros in the steps that rows do not have.
  void clear_ended(const StackTape<S>& t, S* stream) const;

  /// What a tensor is called outside, and by the layer.
  struct Names {
    std::string outer, inner;
  };
  struct PassNames {
    std::vector<Names> masks, buffers;
    std::string positional_mask;
  };
  void name_tensors();

  MakeLayer make_layer_;
  ArraySpace<S> arrays_;
  std::string key_;
  Spec spec_;
  int passes_ = 1;       ///< L
  int weight_sets_ = 1;  ///< L, or 1 for replays
  int units_ = 0, inputs_ = 0, window_ = 1;
  Stacking stacking_ = Stacking::kStack;
  Layers layers_;
  Layers
      masked_layers_;  ///< for calls that give masks on the window's inputs; made when first needed
  CellInfo info_;
  size_t params_per_layer_ = 0;
  std::vector<PassNames> names_;  ///< per pass
};

}  // namespace lookback
