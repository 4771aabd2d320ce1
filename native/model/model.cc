#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/initialize.h"

namespace lookback {

template <class S>
bool Model<S>::all_finite(const S* values, int64_t size) const {
  Buffer<S> copy;
  if (!backend_.memory().is_host()) {
    copy = Buffer<S>::for_overwrite(size, "a look at the numbers");
    backend_.memory().copy_out(values, size, copy.data());
    values = copy.data();
  }
  return std::all_of(values, values + size, [](S value) { return std::isfinite(value); });
}

template <class S>
Model<S>::Model(Backend<S>& backend, uint64_t seed, int64_t input_size,
                const std::vector<LayerSpec>& layers)
    : backend_(backend), seed_(seed) {
  REQUIRE(input_size >= 1, kOption, "option inputSize is ", input_size, "; expected 1 or more");
  REQUIRE(!layers.empty(), kOption, "option layers is empty; give at least one layer");
  FeatureShape shape{true, input_size};
  for (const LayerSpec& spec : layers) {
    add_layer(spec, shape);
    shape = chain_.layers().back()->output();
  }
  place_tensors();
}

template <class S>
void Model<S>::add_layer(const LayerSpec& given, FeatureShape input) {
  const Spec& spec = given.options;
  const std::string kind = spec.word("kind", "");
  REQUIRE(!kind.empty(), kOption, "layer ", layers().size(),
          " has no kind; expected that of a layer or the key of a recurrent cell");
  const std::string name = spec.word("name", kind + "_" + std::to_string(layers().size() + 1));
  REQUIRE(!name.empty() && name.find('.') == std::string::npos, kOption, "layer name '", name,
          "' is not allowed; it must not be empty nor contain a dot, which separates the names of "
          "layer and parameter");
  for (const auto& other : layers()) {
    REQUIRE(other->name() != name, kOption, "two layers are named '", name,
            "'; give each its own name");
  }
  Spec options;
  for (const auto& [key, value] : spec.values()) {
    if (key != "kind" && key != "name" && key != "trainable") options.set(key, value);
  }
  trainable_.push_back(spec.flag("trainable", true));
  const auto index = static_cast<uint32_t>(layers().size());
  chain_.add(
      make_layer<S>({backend_, name, kind, options, index, input, given.inner, &inner_index_}),
      backend_.memory());
}

template <class S>
void Model<S>::place_tensors() {
  for (size_t i = 0; i < layers().size(); ++i) {
    const Layer<S>& layer = *layers()[i];
    for (const ParamInfo& info : layer.params()) {
      param_layout_.add(layer.name() + "." + info.name, info.shape, trainable_[i] && !info.fixed);
    }
    for (const BufferInfo& info : layer.buffers()) {
      buffer_layout_.add(layer.name() + "." + info.name, info.shape);
    }
  }
  MemorySpace& memory = backend_.memory();
  // Asked for together: each alone might fit where both do not.
  const int64_t numbers = checked_mul(param_layout_.total(), 2, "the parameters");
  const int64_t bytes = checked_mul(numbers, sizeof(S), "the parameters");
  if (memory.is_host()) require_memory(bytes, "the parameters and their gradients");
  params_ = ParamArena<S>(param_layout_, "the parameters", memory);
  grads_ = ParamArena<S>(param_layout_, "the gradients", memory);
  buffers_ = ParamArena<S>(buffer_layout_, "the running statistics", memory);
  size_t param = 0, buffer = 0;
  for (size_t i = 0; i < layers().size(); ++i) {
    LayerMemory<S> own;
    for (const ParamInfo& info : layers()[i]->params()) {
      const Segment& segment = param_layout_.segments()[param];
      Buffer<S> start(segment.size, info.name.c_str());
      initialize(info, seed_, static_cast<uint32_t>(param), start.data());
      memory.copy_in(start.data(), segment.size, params_.at(segment));
      own.params.push_back(params_.at(segment));
      own.grads.push_back(segment.trainable ? grads_.at(segment) : nullptr);
      ++param;
    }
    for (const BufferInfo& info : layers()[i]->buffers()) {
      const Segment& segment = buffer_layout_.segments()[buffer++];
      backend_.fill(segment.size, static_cast<S>(info.initial), buffers_.at(segment));
      own.buffers.push_back(buffers_.at(segment));
    }
    weights_.emplace_back();
    for (size_t k = param - own.params.size(); k < param; ++k)
      weights_.back().push_back(params_.at(param_layout_.segments()[k]));
    own.version = &version_;
    layers()[i]->bind(std::move(own));
  }
}

template <class S>
int64_t Model<S>::parameter_count(size_t layer) const {
  int64_t count = 0;
  for (const ParamInfo& info : layers()[layer]->params()) {
    count += element_count(info.shape, info.name.c_str());
  }
  return count;
}

template <class S>
bool Model<S>::settles() const {
  for (size_t i = 0; i < layers().size(); ++i)
    if (trainable_[i] && layers()[i]->settles()) return true;
  return false;
}

template <class S>
std::vector<size_t> Model<S>::settle(bool first) {
  touch();
  std::vector<size_t> afresh;
  size_t begin = 0;
  for (size_t i = 0; i < layers().size(); begin += weights_[i++].size()) {
    if (!trainable_[i] || !layers()[i]->settles()) continue;
    for (const int param : layers()[i]->settle(weights_[i], first))
      afresh.push_back(begin + static_cast<size_t>(param));
  }
  return afresh;
}

template <class S>
std::string Model<S>::first_non_finite_layer(const Pass& pass) const {
  for (size_t i = 0; i < layers().size(); ++i) {
    const int64_t size = layers()[i]->output().elements(pass.batch, pass.steps);
    const Buffer<S>& output = chain_.output_of(i);
    if (size <= output.size() && !all_finite(output.data(), size)) return layers()[i]->name();
  }
  return "";
}

template <class S>
std::string Model<S>::first_non_finite_segment(const ArenaLayout& layout,
                                               const ParamArena<S>& arena) const {
  for (const Segment& segment : layout.segments()) {
    if (!all_finite(arena.at(segment), segment.size)) return segment.name;
  }
  return "";
}

template class Model<float>;
template class Model<double>;

}  // namespace lookback
