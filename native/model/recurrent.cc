#include <algorithm>

#include "base/error.h"
#include "model/initialize.h"
#include "model/layer.h"
#include "model/recurrent_states.h"
#include "model/recurrent_stream.h"

namespace lookback {
namespace {

/// The cell's own spec: without the layer's options, with the size of its input.
Spec cell_spec(const Spec& options, int64_t input_size) {
  Spec spec;
  for (const auto& [key, value] : options.values()) {
    const bool own = key == "returnSequences" || key == "goBackwards" || key == "evaluation" ||
                     key == "kernelInitializer" || key == "recurrentInitializer" ||
                     key == "biasInitializer";
    if (!own) spec.set(key, value);
  }
  spec.set("inputSize", static_cast<double>(input_size));
  return spec;
}

/// The option that says how a weight starts, where one does: weights of x, of h, and what is added.
const char* initializer_of(const std::string& param) {
  const size_t dot = param.rfind('.');  // behind the layer of a stack
  const std::string name = dot == std::string::npos ? param : param.substr(dot + 1);
  if (name == "W_x" || name == "W_x_re" || name == "W_x_im") return "kernelInitializer";
  if (name == "W_h") return "recurrentInitializer";
  if (name == "b" || name == "b_x" || name == "b_h") return "biasInitializer";
  return nullptr;
}

/// Parameters with the starts that the options name in place of the cell's own.
std::vector<ParamInfo> started(std::vector<ParamInfo> params, const Spec& options) {
  for (ParamInfo& param : params) {
    const char* const option = initializer_of(param.name);
    if (option == nullptr || !options.has(option)) continue;
    param.init = initializer_named(options.word(option, ""), param);
  }
  return params;
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
    replays_ = setup.options.word("stacking", "").rfind("replay", 0) == 0;
    go_backwards_ = setup.options.flag("goBackwards", false);
    evaluation_ = static_cast<Evaluation>(
        setup.options.choice("evaluation", {"running", "batch", "training"}));
    recurrence_ =
        setup.backend.recurrence(setup.kind, cell_spec(setup.options, setup.input.features));
    output_ = {return_sequences_, recurrence_->info().output_size};
    MemorySpace& memory = setup.backend.memory();
    for (Kept& kept : kept_) {
      for (Buffer<S>* buffer : {&kept.x, &kept.y, &kept.dx}) buffer->use(memory);
    }
    resets_.use(memory);
    params_ = started(recurrence_->info().params, setup.options);
    states_ = std::make_unique<Carrier<S>>(*recurrence_, memory, StateKind::kValues);
    gradients_ = std::make_unique<Carrier<S>>(*recurrence_, memory, StateKind::kGradients);
    for (Carrier<S>* carrier : {states_.get(), gradients_.get()}) refuse_states(*carrier);
  }

  std::vector<ParamInfo> params() const override { return params_; }
  std::vector<BufferInfo> buffers() const override { return recurrence_->info().buffers; }

  bool settles() const override { return recurrence_->settles(); }
  std::vector<int> settle(const std::vector<S*>& params, bool first) override {
    Tensors<S> buffers;
    const std::vector<BufferInfo>& infos = recurrence_->info().buffers;
    for (size_t i = 0; i < infos.size(); ++i)
      buffers[infos[i].name] = {memory_.buffers[i], infos[i].shape};
    return recurrence_->settle(params, buffers, first);
  }

  void carriers(const std::string& prefix, std::vector<NamedCarrier<S>>& to) override {
    to.push_back({prefix, states_.get(), gradients_.get()});
  }

  void explain(const PlanCall& call, const std::string& name,
               std::vector<LoopPlan>& to) const override {
    for (LoopPlan plan : recurrence_->explain(call)) {
      plan.name = plan.name.empty() ? name : name + "." + plan.name;
      to.push_back(std::move(plan));
    }
  }

  int64_t bytes() const override {
    int64_t sum = states_->bytes() + gradients_->bytes();
    for (const Kept& kept : kept_) {
      if (kept.tape) sum += static_cast<int64_t>(kept.tape->bytes());
      for (const Buffer<S>* buffer : {&kept.x, &kept.y, &kept.dx}) sum += buffer->bytes();
    }
    return sum;
  }

  /// What its backward needs is on the tape.
  bool reads_x() const override { return false; }
  bool reads_y() const override { return false; }

  std::unique_ptr<LayerStream<S>> make_stream(int64_t batch) override {
    if (go_backwards_) this->refuse_stream("reads each row from its end");
    if (replays_) this->refuse_stream("reads each row several times");
    if (evaluation_ != Evaluation::kRunning)
      this->refuse_stream("takes its statistics from the batch at hand");
    ForwardCall<S> call;
    call.params = memory_.params;
    const std::vector<BufferInfo>& buffers = recurrence_->info().buffers;
    for (size_t i = 0; i < buffers.size(); ++i)
      call.inputs[buffers[i].name] = {memory_.buffers[i], buffers[i].shape};
    return std::make_unique<RecurrentStream<S>>(*recurrence_, backend_.memory(), batch,
                                                std::move(call), output_name(), input_.features,
                                                output_.features, memory_.version);
  }

  void forward(const Pass& pass, const S* x, S* y) override {
    Kept& kept = kept_[pass.keep];
    if (!kept.tape || kept.batch != pass.batch || kept.steps != pass.steps) build(kept, pass);
    ForwardCall<S>& call = kept.forward[pass.training];
    DropoutKey key = pass.dropout;
    key.layer = index_;
    call.dropout = pass.training || evaluation_ == Evaluation::kTraining ? &key : nullptr;
    call.lengths = pass.lengths;
    S* const to = go_backwards_ && return_sequences_ ? room(kept.y, pass, output_) : y;
    call.inputs.find("x")->second.data = go_backwards_ ? reversed(kept.x, pass, input_, x) : x;
    call.outputs.find(output_name())->second.data = to;
    // Training changes running statistics, and its parameters after every pass.
    call.version = pass.training || memory_.version == nullptr ? 0 : *memory_.version;
    given_ = pass.carry && states_->held().started;
    if (pass.resets != nullptr || pass.carry) {
      forward_from(pass, call, *kept.tape);
    } else {
      recurrence_->forward(call, *kept.tape);
    }
    if (to != y) reverse(pass, output_, to, y);
  }

  void backward(const Pass& pass, const S*, const S*, S* dy, S* dx) override {
    Kept& kept = kept_[1];
    BackwardCall<S>& call = kept.backward[dx != nullptr];
    const bool turn = go_backwards_ && return_sequences_;
    S* const d_input = go_backwards_ && dx != nullptr ? room(kept.dx, pass, input_) : dx;
    call.upstream.find(output_name())->second.data =
        turn ? reversed(kept.y, pass, output_, dy) : dy;
    if (dx != nullptr) call.d_inputs.find("x")->second.data = d_input;
    if (pass.carry_gradients) {
      backward_from(call, *kept.tape);
    } else {
      recurrence_->backward(call, *kept.tape);
    }
    if (d_input != dx) reverse(pass, input_, d_input, dx);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::index_;
  using Layer<S>::input_;
  using Layer<S>::output_;
  using Layer<S>::memory_;

  /// A pass with resets, or from held states.
  void forward_from(const Pass& pass, ForwardCall<S> call, Tape& tape) {
    if (pass.resets != nullptr) {
      REQUIRE(!go_backwards_, kOption, "layer '", this->name_,
              "' reads each row from its end, where resets have no meaning; leave them out");
      const int64_t count = pass.batch * pass.steps;
      resets_.ensure(count, "resets");
      const std::vector<S> numbers(pass.resets, pass.resets + count);
      backend_.memory().copy_in(numbers.data(), count, resets_.data());
      call.inputs["resets"] = {resets_.data(), {pass.batch, pass.steps}};
    }
    if (pass.carry) {
      states_->held().states->write_from(call);
      if (given_) states_->held().states->read_into(call);
      const auto queue = call.inputs.find("queue0");
      queue_entries_ = queue == call.inputs.end() ? 0 : queue->second.shape[1];
    }
    recurrence_->forward(call, tape);
  }

  /// The backward half of that: of given states only is there a gradient.
  void backward_from(BackwardCall<S> call, Tape& tape) {
    const HeldStates<S>& held = gradients_->held();
    if (held.started) held.states->read_into(call);
    if (given_) held.states->write_from(call, queue_entries_);
    recurrence_->backward(call, tape);
  }

  void refuse_states(Carrier<S>& carrier) const {
    if (go_backwards_) {
      carrier.refuse(text("layer '", this->name_, "' reads each row from its end: its states ",
                          "cannot be given, returned or carried on"));
    } else if (replays_) {
      carrier.refuse(text("layer '", this->name_, "' reads each row several times: its states ",
                          "cannot be given, returned or carried on; use stacking 'stack' or ",
                          "'residual'"));
    }
  }

  /// What a pass outside of training computes: with running statistics; with those of its own
  /// batch; with those and dropout. The last two never touch the running statistics.
  enum class Evaluation { kRunning, kBatch, kTraining };

  /// Everything that is made once per shape of a batch.
  struct Kept {
    int64_t batch = 0;
    int64_t steps = 0;
    std::unique_ptr<Tape> tape;
    ForwardCall<S> forward[2];    ///< without and with training
    BackwardCall<S> backward[2];  ///< without and with the gradient of x
    Buffer<S> x, y, dx;           ///< with goBackwards: what the recurrence sees
  };

  static S* room(Buffer<S>& buffer, const Pass& pass, FeatureShape shape) {
    buffer.ensure(shape.elements(pass.batch, pass.steps), "a sequence turned around");
    return buffer.data();
  }
  /// The valid steps of each row in the other order.
  void reverse(const Pass& pass, FeatureShape shape, const S* from, S* to) {
    backend_.reverse_steps(pass.batch, pass.steps, shape.features, pass.lengths, from, to);
  }
  const S* reversed(Buffer<S>& buffer, const Pass& pass, FeatureShape shape, const S* from) {
    S* const to = room(buffer, pass, shape);
    reverse(pass, shape, from, to);
    return to;
  }

  /// "y_last": y at each row's last valid step, without the sequence before it.
  const char* output_name() const { return return_sequences_ ? "y" : "y_last"; }

  void build(Kept& kept, const Pass& pass) {
    // The old tape goes first: two at a time could be more than the machine has. The new one comes
    // last: a shape whose calls could not be made has none.
    kept.tape.reset();
    auto tape = recurrence_->make_tape(pass.batch, pass.steps, pass.keep);
    kept.batch = pass.batch;
    kept.steps = pass.steps;
    const std::vector<int64_t> x_shape{pass.batch, pass.steps, input_.features};
    std::vector<int64_t> y_shape{pass.batch, output_.features};
    if (return_sequences_) y_shape.insert(y_shape.begin() + 1, pass.steps);
    const std::vector<BufferInfo>& buffers = recurrence_->info().buffers;
    for (const bool training : {false, true}) {
      ForwardCall<S>& call = kept.forward[training];
      call = ForwardCall<S>();
      call.batch = pass.batch;
      call.steps = pass.steps;
      call.training = training || evaluation_ != Evaluation::kRunning;
      call.params = memory_.params;
      call.inputs["x"] = {nullptr, x_shape};
      call.outputs[output_name()] = {nullptr, y_shape};
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
      call.upstream[output_name()] = {nullptr, y_shape};
      if (want_dx) call.d_inputs["x"] = {nullptr, x_shape};
    }
    kept.tape = std::move(tape);
  }

  std::unique_ptr<Recurrence<S>> recurrence_;
  std::vector<ParamInfo> params_;
  bool return_sequences_ = false;
  bool go_backwards_ = false;
  bool replays_ = false;  ///< LARNN's stacks that run over the same input again and again
  Evaluation evaluation_ = Evaluation::kRunning;
  std::unique_ptr<Carrier<S>> states_, gradients_;
  bool given_ = false;         ///< the last pass began from held states
  int64_t queue_entries_ = 0;  ///< of the queue that it was given; 0: none
  Buffer<S> resets_;
  Kept kept_[2];  ///< for passes without and with a backward
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_recurrent(const LayerSetup<S>& setup) {
  return std::make_unique<Recurrent<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_recurrent(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_recurrent(const LayerSetup<double>&);

}  // namespace lookback
