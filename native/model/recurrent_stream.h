/// A recurrence that is run step by step.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "model/layer_stream.h"

namespace lookback {

/// Every output "<s>_n" of the recurrence becomes its input "<s>0" of the next step. A queue grows
/// to its full length first: "queue_count" says how many of its last entries there are.
template <class S>
class RecurrentStream final : public LayerStream<S> {
 public:
  /// `call` has all inputs and outputs but x, y and the states. `recurrence` outlives this.
  RecurrentStream(Recurrence<S>& recurrence, MemorySpace& memory, int64_t batch,
                  ForwardCall<S> call, std::string output, int64_t input_size, int64_t output_size)
      : recurrence_(recurrence),
        memory_(memory),
        tape_(recurrence.make_tape(batch, 1, false)),
        first_(std::move(call)),
        output_(std::move(output)),
        queue_(memory) {
    for (const TensorInfo& info : recurrence.outputs(batch, 1)) {
      const bool count = info.name == "queue_count";
      if (!count && (info.name.size() < 2 || info.name.substr(info.name.size() - 2) != "_n"))
        continue;
      if (count) count_ = states_.size();
      const int64_t size = element_count(info.shape, "a state");
      states_.push_back({info.name, info.shape, Buffer<S>(size, "a state", memory)});
      made_.emplace_back(size, "a state", memory);
    }
    first_.batch = batch;
    first_.steps = 1;
    first_.inputs["x"] = {nullptr, {batch, 1, input_size}};
    std::vector<int64_t> y_shape{batch, output_size};
    if (output_ == "y") y_shape.insert(y_shape.begin() + 1, 1);
    first_.outputs[output_] = {nullptr, y_shape};
    for (size_t i = 0; i < states_.size(); ++i)
      first_.outputs[states_[i].name] = {made_[i].data(), states_[i].shape};
    next_ = first_;
    for (size_t i = 0; i < states_.size(); ++i) {
      if (i == count_) continue;
      next_.inputs[initial_name(i)] = {states_[i].values.data(), states_[i].shape};
    }
  }

  void step(const S* x, S* y) override {
    if (started_ && count_ < states_.size()) cut_queue();
    ForwardCall<S>& call = started_ ? next_ : first_;
    call.inputs.find("x")->second.data = x;
    call.outputs.find(output_)->second.data = y;
    recurrence_.forward(call, *tape_);
    for (size_t i = 0; i < states_.size(); ++i)
      memory_.copy(made_[i].data(), made_[i].size(), states_[i].values.data());
    started_ = true;
  }

  void collect(const std::string& prefix,
               std::vector<typename LayerStream<S>::Entry>& to) override {
    for (StreamState<S>& state : states_) to.push_back({prefix + state.name, &state});
  }
  void set_started(bool started) override { started_ = started; }
  int64_t bytes() const override {
    auto sum = static_cast<int64_t>(tape_->bytes()) + queue_.bytes();
    for (size_t i = 0; i < states_.size(); ++i) sum += states_[i].values.bytes() + made_[i].bytes();
    return sum;
  }

 private:
  std::string initial_name(size_t state) const {
    const std::string& name = states_[state].name;
    return name.substr(0, name.size() - 2) + "0";
  }

  /// Hands over the entries of the queue [layers, entries, B, H] that there are: the last ones.
  void cut_queue() {
    const size_t at = static_cast<size_t>(
        std::find_if(states_.begin(), states_.end(),
                     [](const StreamState<S>& state) { return state.name == "queue_n"; }) -
        states_.begin());
    const StreamState<S>& queue = states_[at];
    const int64_t all = queue.shape[1], entry = queue.shape[2] * queue.shape[3];
    S count(0);
    memory_.copy_out(states_[count_].values.data(), 1, &count);
    const int64_t there = std::clamp<int64_t>(std::llround(count), 1, all);
    Tensor<const S>& input = next_.inputs.find("queue0")->second;
    input.shape[1] = there;
    input.data = queue.values.data();
    if (there == all) return;
    queue_.ensure(queue.values.size(), "a state");
    for (int64_t layer = 0; layer < queue.shape[0]; ++layer) {
      memory_.copy(queue.values.data() + ((layer + 1) * all - there) * entry, there * entry,
                   queue_.data() + layer * there * entry);
    }
    input.data = queue_.data();
  }

  Recurrence<S>& recurrence_;
  MemorySpace& memory_;
  std::unique_ptr<Tape> tape_;
  ForwardCall<S> first_, next_;
  std::string output_;
  std::vector<StreamState<S>> states_;
  std::vector<Buffer<S>> made_;  ///< by the step at hand
  size_t count_ = size_t(-1);    ///< which state is the number of the queue's entries
  Buffer<S> queue_;
  bool started_ = false;
};

}  // namespace lookback
