#include "model/cell_call.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <type_traits>

#include "base/error.h"
#include "model/dataset.h"

namespace lookback {
namespace {

/// Names to shaped buffers of the cell's element type.
template <class S>
struct Owned {
  std::vector<int64_t> shape;
  Buffer<S> numbers;
};
template <class S>
using OwnedTensors = std::map<std::string, Owned<S>>;

template <class S>
OwnedTensors<S> take_all(NamedTensors tensors, const char* what) {
  OwnedTensors<S> all;
  for (NamedTensor& given : tensors) {
    const std::string title = text(what, " '", given.name, "'");
    std::vector<int64_t> shape = given.tensor.shape;
    REQUIRE(element_count(shape, title.c_str()) == given.tensor.size(), kShape, title,
            " has shape ", shape_text(shape), " and ", given.tensor.size(), " numbers; expected ",
            element_count(shape, title.c_str()));
    Buffer<S> numbers = take_numbers<S>(std::move(given.tensor), title.c_str());
    all[given.name] = {std::move(shape), std::move(numbers)};
  }
  return all;
}

/// Removes and returns the entry of this name, if there is one.
std::optional<HostTensor> extract(NamedTensors& tensors, const std::string& name) {
  const auto it = std::find_if(tensors.begin(), tensors.end(),
                               [&name](const NamedTensor& each) { return each.name == name; });
  if (it == tensors.end()) return std::nullopt;
  HostTensor found = std::move(it->tensor);
  tensors.erase(it);
  return found;
}

template <class S>
constexpr DType dtype_of() {
  return std::is_same_v<S, double> ? DType::kFloat64 : DType::kFloat32;
}

/// Room that a call was given for a result.
template <class S>
Buffer<S>& room_of(NamedTensor& result) {
  auto* const numbers = std::get_if<Buffer<S>>(&result.tensor.data);
  REQUIRE(numbers != nullptr, kShape, "room for ", result.name, " is of another number type");
  return *numbers;
}

/// Results where the device can write them: in the room that was given, or in its own memory on the
/// way there.
template <class S>
class Destinations {
 public:
  Destinations(NamedTensors& results, MemorySpace& memory) : results_(results), memory_(memory) {}

  /// Of the results in their order.
  Tensor<S> next(const ResultInfo& info) {
    const size_t at = own_.size();
    REQUIRE(at < results_.size() && results_[at].tensor.shape == info.shape, kShape,
            "there is no room for ", info.name, ", ", shape_text(info.shape));
    Buffer<S>& room = room_of<S>(results_[at]);
    Buffer<S>& own = own_.emplace_back(memory_);
    if (memory_.is_host()) return {room.data(), info.shape};
    own.ensure(room.size(), info.name.c_str());
    return {own.data(), info.shape};
  }

  /// When the pass has written them.
  void bring_home() {
    if (memory_.is_host()) return;
    for (size_t i = 0; i < own_.size(); ++i)
      memory_.copy_out(own_[i].data(), own_[i].size(), room_of<S>(results_[i]).data());
  }

 private:
  NamedTensors& results_;
  MemorySpace& memory_;
  std::vector<Buffer<S>> own_;
};

template <class S>
std::vector<ResultInfo> outputs_of(const Recurrence<S>& recurrence, int64_t batch, int64_t steps) {
  std::vector<ResultInfo> list;
  for (TensorInfo& info : recurrence.outputs(batch, steps))
    list.push_back({std::move(info.name), std::move(info.shape), false});
  return list;
}

/// Polls a job's flag for as long as it lives.
template <class S>
class CancelScope {
 public:
  CancelScope(Backend<S>& backend, const std::atomic<bool>* cancel) : backend_(backend) {
    backend_.set_cancel(cancel);
  }
  ~CancelScope() { backend_.set_cancel(nullptr); }
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

 private:
  Backend<S>& backend_;
};

/// Threads, cell, tensors and tape of one call at a time.
template <class S>
class CellPass {
 public:
  CellPass(const std::string& kind, const Spec& spec, DeviceKind device, int threads)
      : threads_(threads),
        backend_(make_backend<S>(device, threads)),
        recurrence_(backend_->recurrence(kind, spec)) {}

  /// As asked for.
  int threads() const { return threads_; }

  void forward(NamedTensors inputs, NamedTensors weights, NamedTensors& results, bool training,
               const std::atomic<bool>* cancel);
  std::vector<ResultInfo> gradients() const;
  void backward(NamedTensors upstream, NamedTensors& results, const std::atomic<bool>* cancel);
  NamedTensors saved() const;

  /// Lets go of the call's tensors; threads and tape stay for the next call.
  void forget() {
    inputs_.clear();
    weights_.clear();
    lengths_.clear();
  }

  /// What it held when it was last counted.
  int64_t counted() const { return counted_; }
  /// By how many bytes that has grown since.
  int64_t recount() {
    const int64_t before = counted_;
    counted_ = tape_ ? static_cast<int64_t>(tape_->bytes()) : 0;
    for (const auto& [name, tensor] : inputs_) counted_ += tensor.numbers.bytes();
    for (const auto& [name, tensor] : weights_) counted_ += tensor.numbers.bytes();
    return counted_ - before;
  }

 private:
  void take_inputs(NamedTensors inputs);
  void require_resets() const;
  void take_weights(NamedTensors weights);
  void place(OwnedTensors<S>& tensors);
  void prepare_tape();
  std::vector<const S*> weight_pointers() const;

  int threads_;
  std::unique_ptr<Backend<S>> backend_;
  std::unique_ptr<Recurrence<S>> recurrence_;
  std::unique_ptr<Tape> tape_;
  int64_t tape_batch_ = 0, tape_steps_ = 0;
  OwnedTensors<S> inputs_, weights_;
  std::vector<int32_t> lengths_;
  int64_t batch_ = 0, steps_ = 0;
  int64_t counted_ = 0;
};

template <class S>
void CellPass<S>::take_inputs(NamedTensors inputs) {
  const CellInfo& info = recurrence_->info();
  const std::optional<HostTensor> lengths = extract(inputs, "lengths");
  inputs_ = take_all<S>(std::move(inputs), "input");
  const auto x = inputs_.find("x");
  REQUIRE(x != inputs_.end(), kOption, "input 'x' is missing; expected [batch, steps, ",
          info.input_size, "]");
  require_input_shape(x->second.shape, x->second.numbers.size(), info.input_size);
  batch_ = x->second.shape[0];
  steps_ = x->second.shape[1];
  if (lengths) {
    REQUIRE(lengths->is_integer(), kShape, "input 'lengths' holds floats; expected an Int32Array [",
            batch_, "]");
    const auto& numbers = std::get<Buffer<int32_t>>(lengths->data);
    require_lengths(numbers.data(), numbers.size(), batch_, steps_);
    lengths_.assign(numbers.data(), numbers.data() + numbers.size());
  }
  require_resets();
  for (const BufferInfo& buffer : info.buffers) {
    if (inputs_.count(buffer.name) != 0) continue;
    const int64_t size = element_count(buffer.shape, buffer.name.c_str());
    Owned<S> fresh{buffer.shape, Buffer<S>(size, buffer.name.c_str())};
    std::fill_n(fresh.numbers.data(), size, static_cast<S>(buffer.initial));
    inputs_.emplace(buffer.name, std::move(fresh));
  }
  place(inputs_);
}

/// From here on only the device reads them.
template <class S>
void CellPass<S>::place(OwnedTensors<S>& tensors) {
  for (auto& [name, tensor] : tensors)
    tensor.numbers = moved_to(backend_->memory(), std::move(tensor.numbers), name.c_str());
}

template <class S>
void CellPass<S>::require_resets() const {
  const auto resets = inputs_.find("resets");
  if (resets == inputs_.end()) return;
  const std::vector<int64_t> shape{batch_, steps_};
  REQUIRE(resets->second.shape == shape, kShape, "input 'resets' has shape ",
          shape_text(resets->second.shape), "; expected ", shape_text(shape));
  for (int64_t i = 0; i < batch_ * steps_; ++i) {
    const S value = resets->second.numbers.data()[i];
    REQUIRE(value == S(0) || value == S(1), kData, "input 'resets' holds ", value, " at row ",
            i / steps_, ", step ", i % steps_,
            "; expected 0, or 1 where the state starts afresh before the step");
  }
}

template <class S>
void CellPass<S>::take_weights(NamedTensors weights) {
  weights_ = take_all<S>(std::move(weights), "weight");
  const std::vector<ParamInfo>& params = recurrence_->info().params;
  for (const ParamInfo& param : params) {
    const auto it = weights_.find(param.name);
    REQUIRE(it != weights_.end(), kOption, "weight '", param.name, "' is missing; expected ",
            shape_text(param.shape));
    REQUIRE(it->second.shape == param.shape, kShape, "weight '", param.name, "' has shape ",
            shape_text(it->second.shape), "; expected ", shape_text(param.shape));
  }
  for (const auto& [name, tensor] : weights_) {
    if (weights_.size() == params.size()) break;
    const bool known = std::any_of(params.begin(), params.end(),
                                   [&](const ParamInfo& param) { return param.name == name; });
    REQUIRE(known, kOption, "weight '", name, "' is not one of this cell's; see params()");
  }
  place(weights_);
}

template <class S>
std::vector<const S*> CellPass<S>::weight_pointers() const {
  std::vector<const S*> list;
  for (const ParamInfo& param : recurrence_->info().params) {
    list.push_back(weights_.at(param.name).numbers.data());
  }
  return list;
}

template <class S>
void CellPass<S>::prepare_tape() {
  if (tape_ && tape_batch_ == batch_ && tape_steps_ == steps_) return;
  tape_.reset();
  tape_ = recurrence_->make_tape(batch_, steps_, true);
  tape_batch_ = batch_;
  tape_steps_ = steps_;
}

template <class S>
void CellPass<S>::forward(NamedTensors inputs, NamedTensors weights, NamedTensors& results,
                          bool training, const std::atomic<bool>* cancel) {
  take_inputs(std::move(inputs));
  take_weights(std::move(weights));
  prepare_tape();
  ForwardCall<S> call;
  call.batch = batch_;
  call.steps = steps_;
  call.training = training;
  call.lengths = lengths_.empty() ? nullptr : lengths_.data();
  call.params = weight_pointers();
  for (const auto& [name, tensor] : inputs_) {
    call.inputs[name] = {tensor.numbers.data(), tensor.shape};
  }
  Destinations<S> destinations(results, backend_->memory());
  for (const ResultInfo& info : outputs_of(*recurrence_, batch_, steps_)) {
    const Tensor<S> output = destinations.next(info);
    call.outputs[info.name] = output;
    // Where the pass does not update a running statistic it comes out as it went in.
    const auto same = inputs_.find(info.name);
    if (same != inputs_.end() && same->second.shape == info.shape) {
      backend_->memory().copy(same->second.numbers.data(), same->second.numbers.size(),
                              output.data);
    }
  }
  const CancelScope<S> scope(*backend_, cancel);
  recurrence_->forward(call, *tape_);
  destinations.bring_home();
}

template <class S>
std::vector<ResultInfo> CellPass<S>::gradients() const {
  std::vector<ResultInfo> list;
  for (const std::string& name : recurrence_->differentiable_inputs()) {
    const auto input = inputs_.find(name);
    if (input != inputs_.end()) list.push_back({name, input->second.shape, false});
  }
  for (TensorInfo& matrix : recurrence_->derived())
    list.push_back({matrix.name, std::move(matrix.shape), true});
  for (const ParamInfo& param : recurrence_->info().params)
    if (!param.fixed) list.push_back({param.name, param.shape, true});
  return list;
}

template <class S>
void CellPass<S>::backward(NamedTensors upstream, NamedTensors& results,
                           const std::atomic<bool>* cancel) {
  OwnedTensors<S> given = take_all<S>(std::move(upstream), "upstream gradient");
  place(given);
  const std::vector<TensorInfo> outputs = recurrence_->outputs(batch_, steps_);
  BackwardCall<S> call;
  for (const auto& [name, tensor] : given) {
    const auto output =
        std::find_if(outputs.begin(), outputs.end(),
                     [&name = name](const TensorInfo& each) { return each.name == name; });
    REQUIRE(output != outputs.end() && output->differentiable, kOption, "upstream gradient '", name,
            "' belongs to no output that has a gradient");
    REQUIRE(tensor.shape == output->shape, kShape, "upstream gradient '", name, "' has shape ",
            shape_text(tensor.shape), "; expected ", shape_text(output->shape));
    call.upstream[name] = {tensor.numbers.data(), tensor.shape};
  }
  call.params = weight_pointers();
  Tensors<S> gradients;
  Destinations<S> destinations(results, backend_->memory());
  for (const ResultInfo& info : this->gradients()) gradients[info.name] = destinations.next(info);
  for (const ParamInfo& param : recurrence_->info().params) {
    auto of_param = gradients.extract(param.name);
    call.d_params.push_back(of_param ? of_param.mapped().data : nullptr);
  }
  call.d_inputs = std::move(gradients);
  const CancelScope<S> scope(*backend_, cancel);
  recurrence_->backward(call, *tape_);
  destinations.bring_home();
}

template <class S>
NamedTensors CellPass<S>::saved() const {
  NamedTensors list;
  Tensors<S> to;
  for (TensorInfo& info : recurrence_->saved(batch_, steps_)) {
    list.push_back({NamedTensor::Role::kParam, info.name,
                    make_tensor<S>(std::move(info.shape), "what a pass has saved")});
  }
  for (NamedTensor& each : list)
    to[each.name] = {std::get<Buffer<S>>(each.tensor.data).data(), each.tensor.shape};
  recurrence_->read_saved(*tape_, to);
  return list;
}

/// Makes passes and keeps the one used last: calls of equal shape, one after another, start no
/// thread and touch no fresh memory. Knows what all its passes hold, lent or idle.
template <class S>
class PassPool {
 public:
  PassPool(std::string kind, const Spec& spec, DeviceKind device)
      : kind_(std::move(kind)), spec_(spec), device_(device) {}

  std::unique_ptr<CellPass<S>> take(int threads) {
    std::unique_ptr<CellPass<S>> pass;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      pass = std::move(idle_);
    }
    if (pass && pass->threads() == threads) return pass;
    discard(std::move(pass));
    return std::make_unique<CellPass<S>>(kind_, spec_, device_, threads);
  }

  void give_back(std::unique_ptr<CellPass<S>> pass) {
    pass->forget();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      idle_.swap(pass);
    }
    discard(std::move(pass));
  }

  /// To be told after every forward pass.
  void count(CellPass<S>& pass) { held_ += pass.recount(); }
  int64_t bytes() const { return held_; }

 private:
  void discard(std::unique_ptr<CellPass<S>> pass) {
    if (pass) held_ -= pass->counted();
  }

  std::string kind_;
  Spec spec_;
  DeviceKind device_;
  std::atomic<int64_t> held_{0};
  std::mutex mutex_;
  std::unique_ptr<CellPass<S>> idle_;
};

/// A pass on loan from its pool.
template <class S>
class LoanedPass final : public CallTape {
 public:
  LoanedPass(std::shared_ptr<PassPool<S>> pool, int threads)
      : pool_(std::move(pool)), pass_(pool_->take(threads)) {}
  ~LoanedPass() override { pool_->give_back(std::move(pass_)); }

  CellPass<S>& pass() { return *pass_; }
  DType dtype() const override { return dtype_of<S>(); }
  std::vector<ResultInfo> gradients() const override { return pass_->gradients(); }
  void backward(NamedTensors upstream, NamedTensors& results,
                const std::atomic<bool>* cancel) override {
    pass_->backward(std::move(upstream), results, cancel);
  }
  NamedTensors saved() const override { return pass_->saved(); }

 private:
  std::shared_ptr<PassPool<S>> pool_;
  std::unique_ptr<CellPass<S>> pass_;
};

template <class S>
class CellRunnerOf final : public CellRunner {
 public:
  CellRunnerOf(std::string kind, const Spec& spec, DeviceKind device) {
    // That the device is there; its memory and threads are those of the passes.
    make_backend<S>(device, 1)->recurrence(kind, spec);
    described_ = host_->recurrence(kind, spec);
    pool_ = std::make_shared<PassPool<S>>(std::move(kind), spec, device);
  }

  DType dtype() const override { return dtype_of<S>(); }
  const std::vector<ParamInfo>& params() const override { return described_->info().params; }
  int64_t bytes() const override { return pool_->bytes(); }

  std::vector<ResultInfo> outputs(const NamedTensors& inputs) const override {
    const int64_t features = described_->info().input_size;
    const auto x = std::find_if(inputs.begin(), inputs.end(),
                                [](const NamedTensor& each) { return each.name == "x"; });
    REQUIRE(x != inputs.end(), kOption, "input 'x' is missing; expected [batch, steps, ", features,
            "]");
    const std::vector<int64_t>& shape = x->tensor.shape;
    require_input_shape(shape, x->tensor.size(), features);
    return outputs_of(*described_, shape[0], shape[1]);
  }

  std::unique_ptr<CallTape> forward(NamedTensors inputs, NamedTensors weights,
                                    NamedTensors& outputs, bool training, int threads,
                                    const std::atomic<bool>* cancel) const override {
    auto loan = std::make_unique<LoanedPass<S>>(pool_, threads);
    loan->pass().forward(std::move(inputs), std::move(weights), outputs, training, cancel);
    pool_->count(loan->pass());
    return loan;
  }

 private:
  std::unique_ptr<Backend<S>> host_ = make_backend<S>(DeviceKind::kCpu, 1);
  std::unique_ptr<Recurrence<S>> described_;  ///< for names and shapes
  std::shared_ptr<PassPool<S>> pool_;
};

}  // namespace

std::shared_ptr<const CellRunner> make_cell_runner(const std::string& kind, const Spec& spec,
                                                   DType dtype, DeviceKind device) {
  if (dtype == DType::kFloat64) {
    return std::make_shared<CellRunnerOf<double>>(kind, spec, device);
  }
  return std::make_shared<CellRunnerOf<float>>(kind, spec, device);
}

}  // namespace lookback
