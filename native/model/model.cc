#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/initialize.h"

namespace lookback {
namespace {

template <class S>
bool all_finite(const S* values, int64_t size) {
  return std::all_of(values, values + size, [](S value) { return std::isfinite(value); });
}

template <class S>
std::unique_ptr<Layer<S>> make_layer(const LayerSetup<S>& setup) {
  if (setup.kind == "dense") return make_dense(setup);
  if (setup.kind == "dropout") return make_dropout(setup);
  return make_recurrent(setup);
}

}  // namespace

void require_known_options(const std::string& owner, const Spec& spec,
                           const std::vector<std::string>& known) {
  for (const auto& [key, value] : spec.values()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string list;
    for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
    fail(ErrorCode::kOption, text(owner, ": unknown option ", key, "; expected one of ", list));
  }
}

template <class S>
Model<S>::Model(Backend<S>& backend, uint64_t seed, int64_t input_size,
                const std::vector<Spec>& layers)
    : seed_(seed) {
  REQUIRE(input_size >= 1, kOption, "option inputSize is ", input_size, "; expected 1 or more");
  REQUIRE(!layers.empty(), kOption, "option layers is empty; give at least one layer");
  FeatureShape shape{true, input_size};
  for (const Spec& spec : layers) {
    add_layer(backend, spec, shape);
    shape = layers_.back()->output();
  }
  place_tensors();
  outputs_.resize(layers_.size());
}

template <class S>
void Model<S>::add_layer(Backend<S>& backend, const Spec& spec, FeatureShape input) {
  const std::string kind = spec.word("kind", "");
  REQUIRE(!kind.empty(), kOption, "layer ", layers_.size(),
          " has no kind; expected 'dense', 'dropout' or the key of a recurrent cell");
  const std::string name = spec.word("name", text(kind, "_", layers_.size() + 1));
  REQUIRE(!name.empty() && name.find('.') == std::string::npos, kOption, "layer name '", name,
          "' is not allowed; it must not be empty nor contain a dot, which separates the names of "
          "layer and parameter");
  for (const auto& other : layers_) {
    REQUIRE(other->name() != name, kOption, "two layers are named '", name,
            "'; give each its own name");
  }
  Spec options;
  for (const auto& [key, value] : spec.values()) {
    if (key != "kind" && key != "name" && key != "trainable") options.set(key, value);
  }
  trainable_.push_back(spec.flag("trainable", true));
  layers_.push_back(
      make_layer<S>({backend, name, kind, options, static_cast<uint32_t>(layers_.size()), input}));
}

template <class S>
void Model<S>::place_tensors() {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer<S>& layer = *layers_[i];
    for (const ParamInfo& info : layer.params()) {
      param_layout_.add(layer.name() + "." + info.name, info.shape, trainable_[i] && !info.fixed);
    }
    for (const BufferInfo& info : layer.buffers()) {
      buffer_layout_.add(layer.name() + "." + info.name, info.shape);
    }
  }
  // Asked for together: each alone might fit where both do not.
  const int64_t numbers = checked_mul(param_layout_.total(), 2, "the parameters");
  require_memory(checked_mul(numbers, sizeof(S), "the parameters"),
                 "the parameters and their gradients");
  params_ = ParamArena<S>(param_layout_, "the parameters");
  grads_ = ParamArena<S>(param_layout_, "the gradients");
  buffers_ = ParamArena<S>(buffer_layout_, "the running statistics");
  size_t param = 0, buffer = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    LayerMemory<S> memory;
    for (const ParamInfo& info : layers_[i]->params()) {
      const Segment& segment = param_layout_.segments()[param];
      initialize(info, seed_, static_cast<uint32_t>(param), params_.at(segment));
      memory.params.push_back(params_.at(segment));
      memory.grads.push_back(segment.trainable ? grads_.at(segment) : nullptr);
      ++param;
    }
    for (const BufferInfo& info : layers_[i]->buffers()) {
      const Segment& segment = buffer_layout_.segments()[buffer++];
      std::fill_n(buffers_.at(segment), segment.size, static_cast<S>(info.initial));
      memory.buffers.push_back(buffers_.at(segment));
    }
    weights_.emplace_back();
    for (size_t k = param - memory.params.size(); k < param; ++k)
      weights_.back().push_back(params_.at(param_layout_.segments()[k]));
    layers_[i]->bind(std::move(memory));
  }
}

template <class S>
int64_t Model<S>::parameter_count(size_t layer) const {
  int64_t count = 0;
  for (const ParamInfo& info : layers_[layer]->params()) {
    count += element_count(info.shape, info.name.c_str());
  }
  return count;
}

template <class S>
const S* Model<S>::forward(const Pass& pass, const S* x) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer<S>& layer = *layers_[i];
    Pass own = pass;
    if (i + 1 < layers_.size()) own.ending = Activation::kLinear;
    outputs_[i].ensure(layer.output().elements(pass.batch, pass.steps), "an activation");
    layer.forward(own, x, outputs_[i].data());
    x = outputs_[i].data();
  }
  return x;
}

template <class S>
S* Model<S>::output_gradient(const Pass& pass) {
  Buffer<S>& gradient = d_outputs_[(layers_.size() - 1) % 2];
  gradient.ensure(output().elements(pass.batch, pass.steps), "the gradient of an activation");
  return gradient.data();
}

template <class S>
void Model<S>::backward(const Pass& pass, const S* x, S* dx) {
  for (size_t i = layers_.size(); i-- > 0;) {
    Layer<S>& layer = *layers_[i];
    Pass own = pass;
    if (i + 1 < layers_.size()) own.ending = Activation::kLinear;
    S* d_input = dx;
    if (i > 0) {
      Buffer<S>& gradient = d_outputs_[(i - 1) % 2];
      gradient.ensure(layer.input().elements(pass.batch, pass.steps),
                      "the gradient of an activation");
      d_input = gradient.data();
    }
    layer.backward(own, i > 0 ? outputs_[i - 1].data() : x, outputs_[i].data(),
                   d_outputs_[i % 2].data(), d_input);
  }
}

template <class S>
std::vector<size_t> Model<S>::settle(bool first) {
  std::vector<size_t> afresh;
  size_t begin = 0;
  for (size_t i = 0; i < layers_.size(); begin += weights_[i++].size()) {
    if (!trainable_[i]) continue;
    for (const int param : layers_[i]->settle(weights_[i], first))
      afresh.push_back(begin + static_cast<size_t>(param));
  }
  return afresh;
}

template <class S>
std::string Model<S>::first_non_finite_layer(const Pass& pass) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const int64_t size = layers_[i]->output().elements(pass.batch, pass.steps);
    if (size <= outputs_[i].size() && !all_finite(outputs_[i].data(), size)) {
      return layers_[i]->name();
    }
  }
  return "";
}

template <class S>
std::string Model<S>::first_non_finite_segment(const ArenaLayout& layout,
                                               const ParamArena<S>& arena) {
  for (const Segment& segment : layout.segments()) {
    if (!all_finite(arena.at(segment), segment.size)) return segment.name;
  }
  return "";
}

template <class S>
int64_t Model<S>::activation_bytes() const {
  int64_t sum = d_outputs_[0].bytes() + d_outputs_[1].bytes();
  for (const Buffer<S>& output : outputs_) sum += output.bytes();
  for (const auto& layer : layers_) sum += layer->bytes();
  return sum;
}

template class Model<float>;
template class Model<double>;

}  // namespace lookback
