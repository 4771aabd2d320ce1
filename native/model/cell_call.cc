#include "model/cell_call.h"

#include <algorithm>
#include <atomic>
#include <mutex>

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

  NamedTensors forward(NamedTensors inputs, NamedTensors weights, bool training,
                       const std::atomic<bool>* cancel);
  NamedTensors backward(NamedTensors upstream, const std::atomic<bool>* cancel);
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
  Buffer<S> room(int64_t size, const char* what);
  HostTensor gradient_room(std::vector<int64_t> shape, const char* what);
  void bring_home(NamedTensors& list);
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
Buffer<S> CellPass<S>::room(int64_t size, const char* what) {
  if (backend_->memory().is_host()) return Buffer<S>::for_overwrite(size, what);
  return Buffer<S>(size, what, backend_->memory());
}

template <class S>
HostTensor CellPass<S>::gradient_room(std::vector<int64_t> shape, const char* what) {
  const int64_t size = element_count(shape, what);
  return {std::move(shape), Buffer<S>(size, what, backend_->memory())};
}

/// What the device has written becomes tensors of the host.
template <class S>
void CellPass<S>::bring_home(NamedTensors& list) {
  MemorySpace& memory = backend_->memory();
  for (NamedTensor& each : list) {
    if (memory.is_host()) return;
    auto& numbers = std::get<Buffer<S>>(each.tensor.data);
    each.tensor = copy_tensor<S>(memory, each.tensor.shape, numbers.data(), "a tensor of a cell");
  }
}

template <class S>
NamedTensors CellPass<S>::forward(NamedTensors inputs, NamedTensors weights, bool training,
                                  const std::atomic<bool>* cancel) {
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
  NamedTensors outputs;
  for (TensorInfo& info : recurrence_->outputs(batch_, steps_)) {
    const int64_t size = element_count(info.shape, "an output of a cell");
    outputs.push_back(
        {NamedTensor::Role::kParam, info.name, {info.shape, room(size, "an output of a cell")}});
  }
  for (NamedTensor& output : outputs) {
    S* numbers = std::get<Buffer<S>>(output.tensor.data).data();
    call.outputs[output.name] = {numbers, output.tensor.shape};
    // Where the pass does not update a running statistic it comes out as it went in.
    const auto same = inputs_.find(output.name);
    if (same != inputs_.end() && same->second.shape == output.tensor.shape) {
      backend_->memory().copy(same->second.numbers.data(), same->second.numbers.size(), numbers);
    }
  }
  const CancelScope<S> scope(*backend_, cancel);
  recurrence_->forward(call, *tape_);
  bring_home(outputs);
  return outputs;
}

template <class S>
NamedTensors CellPass<S>::backward(NamedTensors upstream, const std::atomic<bool>* cancel) {
  const CellInfo& info = recurrence_->info();
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
  NamedTensors grads;
  for (const std::string& name : recurrence_->differentiable_inputs()) {
    const auto input = inputs_.find(name);
    if (input == inputs_.end()) continue;
    grads.push_back({NamedTensor::Role::kParam, name,
                     gradient_room(input->second.shape, "the gradient of an input")});
    call.d_inputs[name] = {std::get<Buffer<S>>(grads.back().tensor.data).data(),
                           input->second.shape};
  }
  for (const TensorInfo& matrix : recurrence_->derived()) {
    grads.push_back({NamedTensor::Role::kParam, matrix.name,
                     gradient_room(matrix.shape, "the gradient of a matrix")});
    call.d_inputs[matrix.name] = {std::get<Buffer<S>>(grads.back().tensor.data).data(),
                                  matrix.shape};
  }
  for (const ParamInfo& param : info.params) {
    if (param.fixed) {
      call.d_params.push_back(nullptr);
      continue;
    }
    grads.push_back({NamedTensor::Role::kParam, param.name,
                     gradient_room(param.shape, "the gradient of a weight")});
    auto& numbers = std::get<Buffer<S>>(grads.back().tensor.data);
    call.d_params.push_back(numbers.data());  // backward adds to it
  }
  const CancelScope<S> scope(*backend_, cancel);
  recurrence_->backward(call, *tape_);
  bring_home(grads);
  return grads;
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
  NamedTensors backward(NamedTensors upstream, const std::atomic<bool>* cancel) override {
    return pass_->backward(std::move(upstream), cancel);
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
    params_ = make_backend<S>(device, 1)->recurrence(kind, spec)->info().params;
    pool_ = std::make_shared<PassPool<S>>(std::move(kind), spec, device);
  }

  const std::vector<ParamInfo>& params() const override { return params_; }
  int64_t bytes() const override { return pool_->bytes(); }

  CellForward forward(NamedTensors inputs, NamedTensors weights, bool training, int threads,
                      const std::atomic<bool>* cancel) const override {
    auto loan = std::make_unique<LoanedPass<S>>(pool_, threads);
    CellForward result;
    result.outputs = loan->pass().forward(std::move(inputs), std::move(weights), training, cancel);
    pool_->count(loan->pass());
    result.tape = std::move(loan);
    return result;
  }

 private:
  std::vector<ParamInfo> params_;
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
