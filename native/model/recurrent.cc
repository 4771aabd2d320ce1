#include <algorithm>

#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

/// The cell's own spec: without the layer's options, with the size of its input.
Spec cell_spec(const Spec& options, int64_t input_size) {
  Spec spec;
  for (const auto& [key, value] : options.values()) {
    if (key != "returnSequences") spec.set(key, value);
  }
  spec.set("inputSize", static_cast<double>(input_size));
  return spec;
}

/// Runs a device's recurrence as a layer. The calls and tapes are built when the batch changes
/// shape and used again after that: a step allocates nothing here.
template <class S>
class Recurrent final : public Layer<S> {
 public:
  explicit Recurrent(const LayerSetup<S>& setup) : Layer<S>(setup) {
    REQUIRE(setup.input.sequence, kOption, "layer '", setup.name,
            "' is recurrent and needs a sequence; set returnSequences: true on the recurrent "
            "layer before it");
    return_sequences_ = setup.options.flag("returnSequences", false);
    recurrence_ =
        setup.backend.recurrence(setup.kind, cell_spec(setup.options, setup.input.features));
    output_ = {return_sequences_, recurrence_->info().output_size};
  }

  std::vector<ParamInfo> params() const override { return recurrence_->info().params; }
  std::vector<BufferInfo> buffers() const override { return recurrence_->info().buffers; }

  int64_t bytes() const override {
    int64_t sum = sequence_.bytes();
    for (const Kept& kept : kept_) {
      if (kept.tape) sum += static_cast<int64_t>(kept.tape->bytes());
    }
    return sum;
  }

  void forward(const Pass& pass, const S* x, S* y) override {
    Kept& kept = kept_[pass.keep];
    if (!kept.tape || kept.batch != pass.batch || kept.steps != pass.steps) build(kept, pass);
    if (!return_sequences_) {
      sequence_.ensure(elements(pass), "the output sequence of a recurrent layer");
    }
    ForwardCall<S>& call = kept.forward[pass.training];
    DropoutKey key = pass.dropout;
    key.layer = index_;
    call.dropout = pass.training ? &key : nullptr;
    call.lengths = pass.lengths;
    call.inputs.find("x")->second.data = x;
    call.outputs.find("y")->second.data = return_sequences_ ? y : sequence_.data();
    recurrence_->forward(call, *kept.tape);
    if (!return_sequences_) take_last(pass, y);
  }

  void backward(const Pass& pass, const S*, const S*, S* dy, S* dx) override {
    Kept& kept = kept_[1];
    // Nothing reads the output sequence any more, so its memory holds its gradient.
    if (!return_sequences_) spread_last(pass, dy);
    BackwardCall<S>& call = kept.backward[dx != nullptr];
    call.upstream.find("y")->second.data = return_sequences_ ? dy : sequence_.data();
    if (dx != nullptr) call.d_inputs.find("x")->second.data = dx;
    recurrence_->backward(call, *kept.tape);
  }

 private:
  using Layer<S>::index_;
  using Layer<S>::input_;
  using Layer<S>::output_;
  using Layer<S>::memory_;

  /// Everything that is made once per shape of a batch.
  struct Kept {
    int64_t batch = 0;
    int64_t steps = 0;
    std::unique_ptr<Tape> tape;
    ForwardCall<S> forward[2];    ///< without and with training
    BackwardCall<S> backward[2];  ///< without and with the gradient of x
  };

  int64_t elements(const Pass& pass) const {
    return FeatureShape{true, output_.features}.elements(pass.batch, pass.steps);
  }

  void build(Kept& kept, const Pass& pass) {
    // The old tape goes first: two at a time could be more than the machine has.
    kept.tape.reset();
    kept.tape = recurrence_->make_tape(pass.batch, pass.steps, pass.keep);
    kept.batch = pass.batch;
    kept.steps = pass.steps;
    const std::vector<int64_t> x_shape{pass.batch, pass.steps, input_.features};
    const std::vector<int64_t> y_shape{pass.batch, pass.steps, output_.features};
    const std::vector<BufferInfo>& buffers = recurrence_->info().buffers;
    for (const bool training : {false, true}) {
      ForwardCall<S>& call = kept.forward[training];
      call = ForwardCall<S>();
      call.batch = pass.batch;
      call.steps = pass.steps;
      call.training = training;
      call.params = memory_.params;
      call.inputs["x"] = {nullptr, x_shape};
      call.outputs["y"] = {nullptr, y_shape};
      for (size_t i = 0; i < buffers.size(); ++i) {
        call.inputs[buffers[i].name] = {memory_.buffers[i], buffers[i].shape};
        if (training) call.outputs[buffers[i].name] = {memory_.buffers[i], buffers[i].shape};
      }
    }
    for (const bool want_dx : {false, true}) {
      BackwardCall<S>& call = kept.backward[want_dx];
      call = BackwardCall<S>();
      call.params = memory_.params;
      call.d_params = memory_.grads;
      call.upstream["y"] = {nullptr, y_shape};
      if (want_dx) call.d_inputs["x"] = {nullptr, x_shape};
    }
  }

  /// Index of the first number of a row's last valid step, or -1 for a row without any.
  int64_t last_step(const Pass& pass, int64_t row) const {
    const int64_t length = pass.lengths == nullptr ? pass.steps : pass.lengths[row];
    return length == 0 ? -1 : (row * pass.steps + length - 1) * output_.features;
  }

  void take_last(const Pass& pass, S* y) const {
    const int64_t width = output_.features;
    for (int64_t row = 0; row < pass.batch; ++row) {
      const int64_t from = last_step(pass, row);
      if (from < 0) {
        std::fill_n(y + row * width, width, S(0));
      } else {
        std::copy_n(sequence_.data() + from, width, y + row * width);
      }
    }
  }

  void spread_last(const Pass& pass, const S* dy) {
    const int64_t width = output_.features;
    std::fill_n(sequence_.data(), elements(pass), S(0));
    for (int64_t row = 0; row < pass.batch; ++row) {
      const int64_t to = last_step(pass, row);
      if (to >= 0) std::copy_n(dy + row * width, width, sequence_.data() + to);
    }
  }

  std::unique_ptr<Recurrence<S>> recurrence_;
  bool return_sequences_ = false;
  Buffer<S> sequence_;  ///< [B, T, H] where only the last step leaves the layer
  Kept kept_[2];        ///< for passes without and with a backward
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_recurrent(const LayerSetup<S>& setup) {
  return std::make_unique<Recurrent<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_recurrent(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_recurrent(const LayerSetup<double>&);

}  // namespace lookback
