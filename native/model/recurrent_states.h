/// The states of a recurrence between two of its calls, or their gradients.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "model/layer_stream.h"

namespace lookback {

enum class StateKind { kValues, kGradients };

/// Every output "<s>_n" of the recurrence becomes its input "<s>0" of the next call. A queue grows
/// to its full length first: "queue_count" says how many of its last entries there are. Gradients
/// go the other way, from the input of a call to the output of the one before.
template <class S>
class RecurrentStates {
 public:
  /// In `memory`, that of the recurrence's backend, which outlives this. Zeros.
  RecurrentStates(const Recurrence<S>& recurrence, MemorySpace& memory, int64_t batch,
                  StateKind kind = StateKind::kValues)
      : memory_(memory), queue_(memory) {
    for (const TensorInfo& info : recurrence.outputs(batch, 1)) {
      const bool count = info.name == "queue_count" && kind == StateKind::kValues;
      if (!count && (info.name.size() < 2 || info.name.substr(info.name.size() - 2) != "_n"))
        continue;
      if (count) count_ = states_.size();
      const int64_t size = element_count(info.shape, "a state");
      states_.push_back({info.name, info.shape, Buffer<S>(size, "a state", memory)});
      inputs_.push_back(info.name.substr(0, info.name.size() - 2) + "0");
      made_.emplace_back(size, "a state", memory);
    }
  }

  /// Makes the states what `call` begins from. Again before every call that uses it.
  void read_into(ForwardCall<S>& call) {
    for (size_t i = 0; i < states_.size(); ++i) {
      if (i == count_) continue;
      Tensor<const S>& input = call.inputs[inputs_[i]];
      input.data = states_[i].values.data();
      input.shape = states_[i].shape;
    }
    if (count_ < states_.size()) cut_queue(call);
  }
  /// Lets `call` make the next states.
  void write_from(ForwardCall<S>& call) {
    for (size_t i = 0; i < states_.size(); ++i)
      call.outputs[states_[i].name] = {made_[i].data(), states_[i].shape};
  }
  /// Of gradients: makes them those of the outputs that `call` goes back from.
  void read_into(BackwardCall<S>& call) const {
    for (const StreamState<S>& state : states_)
      call.upstream[state.name] = {state.values.data(), state.shape};
  }
  /// Lets `call` make the gradients of its inputs, where a queue was given with that many
  /// `entries`.
  void write_from(BackwardCall<S>& call, int64_t entries) {
    for (size_t i = 0; i < states_.size(); ++i) {
      Tensor<S>& input = call.d_inputs[inputs_[i]];
      input = {made_[i].data(), states_[i].shape};
      if (states_[i].name == "queue_n") input.shape[1] = entries_ = entries;
    }
  }
  /// What the last call has made becomes the states.
  void keep() {
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].name == "queue_n" && entries_ > 0 && entries_ < states_[i].shape[1]) {
        fill_queue(made_[i].data(), states_[i]);
      } else {
        memory_.copy(made_[i].data(), made_[i].size(), states_[i].values.data());
      }
    }
  }

  std::vector<StreamState<S>>& states() { return states_; }
  int64_t bytes() const {
    int64_t sum = queue_.bytes();
    for (size_t i = 0; i < states_.size(); ++i) sum += states_[i].values.bytes() + made_[i].bytes();
    return sum;
  }

 private:
  /// Hands over the entries of the queue [layers, entries, B, H] that there are: the last ones.
  void cut_queue(ForwardCall<S>& call) {
    const auto queue =
        std::find_if(states_.begin(), states_.end(),
                     [](const StreamState<S>& state) { return state.name == "queue_n"; });
    const int64_t all = queue->shape[1], entry = queue->shape[2] * queue->shape[3];
    S count(0);
    memory_.copy_out(states_[count_].values.data(), 1, &count);
    const int64_t there = std::clamp<int64_t>(std::llround(count), 1, all);
    Tensor<const S>& input = call.inputs.find("queue0")->second;
    input.shape[1] = there;
    if (there == all) return;
    queue_.ensure(queue->values.size(), "a state");
    for (int64_t layer = 0; layer < queue->shape[0]; ++layer) {
      memory_.copy(queue->values.data() + ((layer + 1) * all - there) * entry, there * entry,
                   queue_.data() + layer * there * entry);
    }
    input.data = queue_.data();
  }

  /// Puts gradients of the last entries where those stand; nothing has read the others.
  void fill_queue(const S* from, StreamState<S>& queue) {
    const int64_t all = queue.shape[1], entry = queue.shape[2] * queue.shape[3];
    queue.values.zero();
    for (int64_t layer = 0; layer < queue.shape[0]; ++layer) {
      memory_.copy(from + layer * entries_ * entry, entries_ * entry,
                   queue.values.data() + ((layer + 1) * all - entries_) * entry);
    }
  }

  MemorySpace& memory_;
  std::vector<StreamState<S>> states_;
  std::vector<std::string> inputs_;  ///< their names as inputs
  std::vector<Buffer<S>> made_;      ///< by the call at hand
  size_t count_ = size_t(-1);        ///< which state is the number of the queue's entries
  Buffer<S> queue_;
  int64_t entries_ = 0;  ///< of the queue that the gradients' call was given; 0: not of gradients
};

}  // namespace lookback
