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

}  // namespace

template <class S>
Model<S>::Model(Backend<S>& backend, uint64_t seed, int64_t input_size,
                const std::vector<LayerSpec>& layers)
    : seed_(seed) {
  REQUIRE(input_size >= 1, kOption, "option inputSize is ", input_size, "; expected 1 or more");
  REQUIRE(!layers.empty(), kOption, "option layers is empty; give at least one layer");
  FeatureShape shape{true, input_size};
  for (const LayerSpec& spec : layers) {
    add_layer(backend, spec, shape);
    shape = chain_.layers().back()->output();
  }
  place_tensors();
}

template <class S>
void Model<S>::add_layer(Backend<S>& backend, const LayerSpec& given, FeatureShape input) {
  const Spec& spec = given.options;
  const std::string kind = spec.word("kind", "");
  REQUIRE(!kind.empty(), kOption, "layer ", layers().size(),
          " has no kind; expected that of a layer or the key of a recurrent cell");
  const std::string name = spec.word("name", text(kind, "_", layers().size() + 1));
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
      make_layer<S>({backend, name, kind, options, index, input, given.inner, &inner_index_}));
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
  // Asked for together: each alone might fit where both do not.
  const int64_t numbers = checked_mul(param_layout_.total(), 2, "the parameters");
  require_memory(checked_mul(numbers, sizeof(S), "the parameters"),
                 "the parameters and their gradients");
  params_ = ParamArena<S>(param_layout_, "the parameters");
  grads_ = ParamArena<S>(param_layout_, "the gradients");
  buffers_ = ParamArena<S>(buffer_layout_, "the running statistics");
  size_t param = 0, buffer = 0;
  for (size_t i = 0; i < layers().size(); ++i) {
    LayerMemory<S> memory;
    for (const ParamInfo& info : layers()[i]->params()) {
      const Segment& segment = param_layout_.segments()[param];
      initialize(info, seed_, static_cast<uint32_t>(param), params_.at(segment));
      memory.params.push_back(params_.at(segment));
      memory.grads.push_back(segment.trainable ? grads_.at(segment) : nullptr);
      ++param;
    }
    for (const BufferInfo& info : layers()[i]->buffers()) {
      const Segment& segment = buffer_layout_.segments()[buffer++];
      std::fill_n(buffers_.at(segment), segment.size, static_cast<S>(info.initial));
      memory.buffers.push_back(buffers_.at(segment));
    }
    weights_.emplace_back();
    for (size_t k = param - memory.params.size(); k < param; ++k)
      weights_.back().push_back(params_.at(param_layout_.segments()[k]));
    memory.version = &version_;
    layers()[i]->bind(std::move(memory));
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
std::vector<size_t> Model<S>::settle(bool first) {
  touch();
  std::vector<size_t> afresh;
  size_t begin = 0;
  for (size_t i = 0; i < layers().size(); begin += weights_[i++].size()) {
    if (!trainable_[i]) continue;
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
                                               const ParamArena<S>& arena) {
  for (const Segment& segment : layout.segments()) {
    if (!all_finite(arena.at(segment), segment.size)) return segment.name;
  }
  return "";
}

template class Model<float>;
template class Model<double>;

}  // namespace lookback
