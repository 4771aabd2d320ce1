#include "model/stream.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"
#include "model/dataset.h"

namespace lookback {

template <class S>
ModelStream<S>::ModelStream(Model<S>& model, int64_t batch) : model_(model), batch_(batch) {
  REQUIRE(batch >= 1, kOption, "option batch is ", batch, "; expected 1 or more");
  MemorySpace& memory = model.backend().memory();
  for (const auto& layer : model.layers()) {
    layers_.push_back(layer->make_stream(batch));
    const int64_t size = checked_mul(batch, layer->output().features, "an activation");
    outputs_.emplace_back(size, "an activation", memory);
  }
  if (memory.is_host()) {
    outputs_.pop_back();
  } else {
    x_ = Buffer<S>(input_size(), "an activation", memory);
  }
}

template <class S>
void ModelStream<S>::step(const S* x, S* y) {
  require_finite(x, batch_, 1, model_.input().features, "x");
  MemorySpace& memory = model_.backend().memory();
  if (x_.size() > 0) {
    memory.copy_in(x, x_.size(), x_.data());
    x = x_.data();
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    S* const to = i < outputs_.size() ? outputs_[i].data() : y;
    layers_[i]->step(x, to);
    x = to;
  }
  if (x_.size() > 0) memory.copy_out(x, output_size(), y);
  for (const auto& layer : layers_) layer->keep();
  started_ = true;
}

template <class S>
void ModelStream<S>::set_started(bool started) {
  for (const auto& layer : layers_) layer->set_started(started);
  started_ = started;
}

template <class S>
std::vector<typename LayerStream<S>::Entry> ModelStream<S>::entries() const {
  std::vector<typename LayerStream<S>::Entry> list;
  for (size_t i = 0; i < layers_.size(); ++i)
    layers_[i]->collect(model_.layers()[i]->name() + ".", list);
  return list;
}

template <class S>
NamedTensors ModelStream<S>::state() const {
  NamedTensors list;
  if (!started_) return list;
  for (const auto& [name, state] : entries()) {
    list.push_back(
        {NamedTensor::Role::kBuffer, name,
         copy_tensor(model_.backend().memory(), state->shape, state->values.data(), "a state")});
  }
  return list;
}

template <class S>
void ModelStream<S>::set_state(NamedTensors given) {
  std::map<std::string, StreamState<S>*> known;
  for (const auto& [name, state] : entries()) known.emplace(name, state);
  REQUIRE(given.empty() || given.size() == known.size(), kFormat, "the state has ", given.size(),
          " tensors; expected ", known.size(), ", or none for a stream before its first step");
  std::vector<std::pair<Buffer<S>, S*>> moves;
  for (NamedTensor& each : given) {
    const auto it = known.find(each.name);
    REQUIRE(it != known.end(), kFormat, "state '", each.name,
            "' is not part of this stream or is given twice");
    REQUIRE(
        each.tensor.shape == it->second->shape && each.tensor.size() == it->second->values.size(),
        kFormat, "state '", each.name, "' has shape ", shape_text(each.tensor.shape), " and ",
        each.tensor.size(), " numbers; expected ", shape_text(it->second->shape));
    Buffer<S> numbers = take_numbers<S>(std::move(each.tensor), "a state");
    REQUIRE(std::all_of(numbers.data(), numbers.data() + numbers.size(),
                        [](S value) { return std::isfinite(value); }),
            kData, "state '", each.name, "' holds numbers that are not finite");
    moves.emplace_back(std::move(numbers), it->second->values.data());
    known.erase(it);
  }
  for (const auto& [numbers, to] : moves)
    model_.backend().memory().copy_in(numbers.data(), numbers.size(), to);
  set_started(!given.empty());
}

template <class S>
int64_t ModelStream<S>::bytes() const {
  int64_t sum = x_.bytes();
  for (const Buffer<S>& output : outputs_) sum += output.bytes();
  for (const auto& layer : layers_) sum += layer->bytes();
  return sum;
}

template class ModelStream<float>;
template class ModelStream<double>;

}  // namespace lookback
