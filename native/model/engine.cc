#include "model/engine.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "model/stream.h"

namespace lookback {
namespace {

template <class S>
class EngineOf final : public Engine {
 public:
  explicit EngineOf(const EngineSpec& spec)
      : backend_(make_backend<S>(spec.device, spec.threads)),
        model_(*backend_, spec.seed, spec.input_size, spec.layers),
        trainer_(*backend_, model_) {}

  std::vector<LayerSummary> layers() const override {
    std::vector<LayerSummary> list;
    for (size_t i = 0; i < model_.layers().size(); ++i) {
      const Layer<S>& layer = *model_.layers()[i];
      list.push_back({layer.name(), layer.kind(), layer.output(), model_.parameter_count(i)});
    }
    return list;
  }

  std::vector<Segment> params() const override { return model_.param_layout().segments(); }

  MemoryUse memory() override {
    MemoryUse use;
    use.params = model_.params().bytes() + model_.grads().bytes() + model_.buffers().bytes();
    if (trainer_.compiled()) use.params += trainer_.optimizer().bytes();
    use.activations = model_.activation_bytes() + trainer_.bytes();
    for (const auto& [handle, stream] : streams_) use.activations += stream.bytes();
    for (const auto& [handle, data] : data_) use.data += data.bytes();
    return use;
  }

  std::vector<LoopPlan> explain(const PlanCall& call) const override {
    std::vector<LoopPlan> plans;
    for (const auto& layer : model_.layers()) layer->explain(call, layer->name(), plans);
    return plans;
  }

  void compile(const Spec& loss, const Spec& optimizer,
               const std::vector<ParamGroup>& groups) override {
    trainer_.compile(loss, optimizer, groups);
  }

  int64_t add_data(HostTensor x, std::optional<HostTensor> y,
                   std::optional<std::vector<int32_t>> lengths, std::optional<HostTensor> weights,
                   std::optional<HostTensor> resets) override {
    DataInput given{std::move(x), std::move(y), std::move(lengths), std::move(weights),
                    std::move(resets)};
    data_.try_emplace(next_data_, *backend_, std::move(given), trainer_.data_shape());
    return next_data_++;
  }

  void remove_data(int64_t data) override {
    find_data(data);
    data_.erase(data);
  }

  void set_cancel(const std::atomic<bool>* cancel) override { trainer_.set_cancel(cancel); }

  Sums train(int64_t data, const TrainCall& call, const Progress& progress) override {
    return trainer_.train(find_data(data), call, progress);
  }
  Sums evaluate(int64_t data, int64_t batch_size, const Continuing& continuing) override {
    return trainer_.evaluate(find_data(data), batch_size, continuing);
  }
  HostTensor predict(int64_t data, int64_t batch_size, StateCall* states) override {
    return trainer_.predict(find_data(data), batch_size, states);
  }
  HostTensor forward(HostTensor x, std::optional<std::vector<int32_t>> lengths, bool training,
                     StateCall* states, std::optional<HostTensor> resets) override {
    return trainer_.forward(std::move(x), std::move(lengths), training, states, std::move(resets));
  }
  void reset_states() override { trainer_.carried().clear(); }
  HostTensor backward(HostTensor d_output, StateCall* states) override {
    return trainer_.backward(std::move(d_output), states);
  }
  void step(double rate_factor) override { trainer_.step(rate_factor); }

  int64_t add_stream(int64_t batch) override {
    streams_.try_emplace(next_stream_, model_, batch);
    return next_stream_++;
  }
  StreamSize stream_size(int64_t stream) override {
    const ModelStream<S>& found = find_stream(stream);
    const DType dtype = sizeof(S) == sizeof(double) ? DType::kFloat64 : DType::kFloat32;
    return {dtype, found.input_size(), found.output_size()};
  }
  void step_stream(int64_t stream, const void* x, void* y) override {
    find_stream(stream).step(static_cast<const S*>(x), static_cast<S*>(y));
  }
  NamedTensors stream_state(int64_t stream) override { return find_stream(stream).state(); }
  void set_stream_state(int64_t stream, NamedTensors state) override {
    find_stream(stream).set_state(std::move(state));
  }
  void remove_stream(int64_t stream) override {
    find_stream(stream);
    streams_.erase(stream);
  }

  NamedTensors gradients() override {
    NamedTensors list;
    const ParamArena<S>& grads = model_.grads();
    for (const Segment& segment : model_.param_layout().segments()) {
      list.push_back({NamedTensor::Role::kParam, segment.name,
                      copy_tensor(backend_->memory(), segment.shape, grads.at(segment),
                                  "a copy of the gradients")});
    }
    return list;
  }

  NamedTensors tensors() override {
    NamedTensors list;
    for (const Place& place : places()) {
      list.push_back(
          {place.role, place.name,
           copy_tensor(backend_->memory(), place.shape, place.values, "a copy of the tensors")});
    }
    for (NamedTensor& state : trainer_.carried().snapshot()) list.push_back(std::move(state));
    return list;
  }

  void set_tensors(NamedTensors tensors) override;

  Counters counters() override { return trainer_.counters(); }
  void set_counters(const Counters& counters) override {
    REQUIRE(counters.updates >= 0 && counters.draws >= 0, kFormat, "counters are ",
            counters.updates, " and ", counters.draws, "; expected 0 or more");
    trainer_.counters() = counters;
  }

 private:
  /// A tensor of the snapshot, where it lives.
  struct Place {
    NamedTensor::Role role;
    std::string name;
    std::vector<int64_t> shape;
    S* values;
    int64_t size;
  };

  std::vector<Place> places() {
    std::vector<Place> list;
    const auto add = [&list](NamedTensor::Role role, const ArenaLayout& layout,
                             ParamArena<S>& arena) {
      for (const Segment& segment : layout.segments()) {
        list.push_back({role, segment.name, segment.shape, arena.at(segment), segment.size});
      }
    };
    add(NamedTensor::Role::kParam, model_.param_layout(), model_.params());
    add(NamedTensor::Role::kBuffer, model_.buffer_layout(), model_.buffers());
    if (trainer_.compiled()) {
      for (const auto& slot : trainer_.optimizer().slots()) {
        list.push_back({NamedTensor::Role::kSlot, slot.segment->name + ":" + slot.name,
                        slot.segment->shape, slot.values, slot.segment->size});
      }
    }
    return list;
  }

  const Dataset<S>& find_data(int64_t handle) const {
    const auto it = data_.find(handle);
    REQUIRE(it != data_.end(), kState, "there is no data set ", handle,
            "; it was removed or never added");
    return it->second;
  }

  ModelStream<S>& find_stream(int64_t handle) {
    const auto it = streams_.find(handle);
    REQUIRE(it != streams_.end(), kState, "there is no stream ", handle,
            "; it was removed or never made");
    return it->second;
  }

  std::unique_ptr<Backend<S>> backend_;
  Model<S> model_;
  Trainer<S> trainer_;
  std::map<int64_t, Dataset<S>> data_;
  int64_t next_data_ = 1;
  std::map<int64_t, ModelStream<S>> streams_;
  int64_t next_stream_ = 1;
};

template <class S>
void EngineOf<S>::set_tensors(NamedTensors tensors) {
  std::map<std::pair<NamedTensor::Role, std::string>, Place> known;
  for (Place& place : places()) known.emplace(std::pair(place.role, place.name), place);
  struct Assignment {
    Buffer<S> numbers;
    S* to;
  };
  std::vector<Assignment> assignments;
  NamedTensors states;
  for (NamedTensor& given : tensors) {
    if (given.role == NamedTensor::Role::kState) {
      std::vector<int64_t> shape = given.tensor.shape;
      Buffer<S> numbers = take_numbers<S>(std::move(given.tensor), "a state");
      states.push_back({given.role, given.name, {std::move(shape), std::move(numbers)}});
      continue;
    }
    auto it = known.find({given.role, given.name});
    REQUIRE(it != known.end(), kFormat, "tensor '", given.name,
            "' is not part of this model or is given twice; expected the names that tensors() "
            "lists (slots exist after compile)");
    const Place& place = it->second;
    REQUIRE(given.tensor.shape == place.shape && given.tensor.size() == place.size, kFormat,
            "tensor '", given.name, "' has shape ", shape_text(given.tensor.shape), " and ",
            given.tensor.size(), " numbers; expected ", shape_text(place.shape));
    REQUIRE(!given.tensor.is_integer(), kFormat, "tensor '", given.name,
            "' holds integers; expected floats");
    assignments.push_back({take_numbers<S>(std::move(given.tensor), "a tensor"), place.values});
    known.erase(it);
  }
  if (!states.empty()) trainer_.carried().restore(std::move(states));
  trainer_.forget_pass();
  model_.touch();
  for (const Assignment& each : assignments) {
    backend_->memory().copy_in(each.numbers.data(), each.numbers.size(), each.to);
  }
}

}  // namespace

std::unique_ptr<Engine> make_engine(const EngineSpec& spec) {
  if (spec.dtype == DType::kFloat64) return std::make_unique<EngineOf<double>>(spec);
  return std::make_unique<EngineOf<float>>(spec);
}

}  // namespace lookback
