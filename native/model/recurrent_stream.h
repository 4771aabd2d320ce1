/// A recurrence that is run step by step.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "model/layer_stream.h"
#include "model/recurrent_states.h"

namespace lookback {

/// Goes on from its own states; after the first steps nothing of it allocates.
template <class S>
class RecurrentStream final : public LayerStream<S> {
 public:
  /// `call` has all inputs and outputs but x, y and the states. `recurrence` outlives this, and so
  /// does `version` (LayerMemory).
  RecurrentStream(Recurrence<S>& recurrence, MemorySpace& memory, int64_t batch,
                  ForwardCall<S> call, std::string output, int64_t input_size, int64_t output_size,
                  const uint64_t* version)
      : recurrence_(recurrence),
        tape_(recurrence.make_tape(batch, 1, false)),
        first_(std::move(call)),
        output_(std::move(output)),
        states_(recurrence, memory, batch),
        version_(version) {
    first_.batch = batch;
    first_.steps = 1;
    first_.inputs["x"] = {nullptr, {batch, 1, input_size}};
    std::vector<int64_t> y_shape{batch, output_size};
    if (output_ == "y") y_shape.insert(y_shape.begin() + 1, 1);
    first_.outputs[output_] = {nullptr, y_shape};
    states_.write_from(first_);
    next_ = first_;
  }

  void step(const S* x, S* y) override {
    ForwardCall<S>& call = started_ ? next_ : first_;
    if (started_) states_.read_into(next_);
    call.version = version_ == nullptr ? 0 : *version_;
    call.inputs.find("x")->second.data = x;
    call.outputs.find(output_)->second.data = y;
    recurrence_.forward(call, *tape_);
  }

  void keep() override {
    states_.keep();
    started_ = true;
  }

  void collect(const std::string& prefix,
               std::vector<typename LayerStream<S>::Entry>& to) override {
    for (StreamState<S>& state : states_.states()) to.push_back({prefix + state.name, &state});
  }
  void set_started(bool started) override { started_ = started; }
  int64_t bytes() const override { return static_cast<int64_t>(tape_->bytes()) + states_.bytes(); }

 private:
  Recurrence<S>& recurrence_;
  std::unique_ptr<Tape> tape_;
  ForwardCall<S> first_, next_;
  std::string output_;
  RecurrentStates<S> states_;
  const uint64_t* version_;
  bool started_ = false;
};

}  // namespace lookback
