/// What layers that have layers inside share: their parameters are those inside, under the inner
/// layers' names.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/layer.h"

namespace lookback {

/// A layer inside `outer`.
template <class S>
std::unique_ptr<Layer<S>> make_inner(const LayerSetup<S>& outer, const LayerSpec& spec,
                                     const std::string& name, FeatureShape input) {
  Spec options;
  for (const auto& [key, value] : spec.options.values()) {
    if (key != "kind" && key != "name" && key != "trainable") options.set(key, value);
  }
  REQUIRE(spec.options.flag("trainable", true), kOption, "layer '", outer.name,
          "': a layer inside it is not trainable; set that for the whole");
  const uint32_t index = (*outer.inner_index)++;
  return make_layer<S>({outer.backend, name, spec.options.word("kind", ""), options, index, input,
                        spec.inner, outer.inner_index});
}

template <class S>
class Wrapper : public Layer<S> {
 public:
  std::vector<ParamInfo> params() const override {
    std::vector<ParamInfo> list;
    for (const Layer<S>* part : parts_) {
      for (ParamInfo info : part->params()) {
        info.name = part->name() + "." + info.name;
        list.push_back(std::move(info));
      }
    }
    return list;
  }

  std::vector<BufferInfo> buffers() const override {
    std::vector<BufferInfo> list;
    for (const Layer<S>* part : parts_) {
      for (BufferInfo info : part->buffers()) {
        info.name = part->name() + "." + info.name;
        list.push_back(std::move(info));
      }
    }
    return list;
  }

  void bind(LayerMemory<S> memory) override {
    size_t param = 0, buffer = 0;
    for (Layer<S>* part : parts_) {
      LayerMemory<S> own;
      for (size_t i = part->params().size(); i > 0; --i, ++param) {
        own.params.push_back(memory.params[param]);
        own.grads.push_back(memory.grads[param]);
      }
      for (size_t i = part->buffers().size(); i > 0; --i)
        own.buffers.push_back(memory.buffers[buffer++]);
      own.version = memory.version;
      part->bind(std::move(own));
    }
  }

  void carriers(const std::string& prefix, std::vector<NamedCarrier<S>>& to) override {
    for (Layer<S>* part : parts_) part->carriers(prefix + part->name() + ".", to);
  }

  void explain(const PlanCall& call, const std::string& name,
               std::vector<LoopPlan>& to) const override {
    for (const Layer<S>* part : parts_) part->explain(call, name + "." + part->name(), to);
  }

  bool settles() const override {
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const Layer<S>* part) { return part->settles(); });
  }
  std::vector<int> settle(const std::vector<S*>& params, bool first) override {
    std::vector<int> afresh;
    auto begin = params.begin();
    for (Layer<S>* part : parts_) {
      const auto end = begin + static_cast<std::ptrdiff_t>(part->params().size());
      for (const int param : part->settle({begin, end}, first))
        afresh.push_back(static_cast<int>(begin - params.begin()) + param);
      begin = end;
    }
    return afresh;
  }

 protected:
  explicit Wrapper(const LayerSetup<S>& setup) : Layer<S>(setup) {}

  std::vector<Layer<S>*> parts_;  ///< in the order of the parameters; owned by the derived class
};

}  // namespace lookback
