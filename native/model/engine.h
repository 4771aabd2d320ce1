/// A model with its data sets and optimizer behind one interface that knows no element type: what
/// the bridge holds.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/host_tensor.h"
#include "model/trainer.h"

namespace lookback {

struct EngineSpec {
  DType dtype = DType::kFloat32;
  DeviceKind device = DeviceKind::kCpu;
  uint64_t seed = 0;
  int threads = 0;  ///< 0: from the CPU quota
  int64_t input_size = 0;
  std::vector<LayerSpec> layers;
};

struct LayerSummary {
  std::string name;
  std::string kind;
  FeatureShape output;
  int64_t params = 0;
};

/// Bytes held.
struct MemoryUse {
  int64_t params = 0;  ///< parameters, gradients, slots and running statistics
  int64_t activations = 0;
  int64_t data = 0;
  int64_t total() const { return params + activations + data; }
};

/// One call at a time, from any thread, but for `explain`. Errors are `Error`; after one the engine
/// is as before the call, except that the updates `train` has completed stay.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual std::vector<LayerSummary> layers() const = 0;
  virtual std::vector<Segment> params() const = 0;
  virtual MemoryUse memory() = 0;
  /// How every recurrent layer runs, by its full name. With `beside`, or for a GPU of the call's
  /// own, also while another call runs.
  virtual std::vector<LoopPlan> explain(const PlanCall& call) const = 0;

  virtual void compile(const Spec& loss, const Spec& optimizer,
                       const std::vector<ParamGroup>& groups = {}) = 0;
  /// Keeps a data set (see `Dataset`) and returns its handle.
  virtual int64_t add_data(HostTensor x, std::optional<HostTensor> y,
                           std::optional<std::vector<int32_t>> lengths,
                           std::optional<HostTensor> weights = {},
                           std::optional<HostTensor> resets = {}) = 0;
  /// ERR_STATE for an unknown handle, here and below.
  virtual void remove_data(int64_t data) = 0;

  /// While these run, a `cancel` that turns true makes them throw ERR_ABORTED.
  virtual void set_cancel(const std::atomic<bool>* cancel) = 0;
  virtual Sums train(int64_t data, const TrainCall& call, const Progress& progress) = 0;
  virtual Sums evaluate(int64_t data, int64_t batch_size, const Continuing& continuing = {}) = 0;
  virtual HostTensor predict(int64_t data, int64_t batch_size, StateCall* states = nullptr) = 0;
  virtual HostTensor forward(HostTensor x, std::optional<std::vector<int32_t>> lengths,
                             bool training, StateCall* states = nullptr,
                             std::optional<HostTensor> resets = {}) = 0;
  /// The next stateful batch begins from no states.
  virtual void reset_states() = 0;
  virtual HostTensor backward(HostTensor d_output, StateCall* states = nullptr) = 0;
  virtual void step(double rate_factor) = 0;

  /// Makes a stream (see `ModelStream`) and returns its handle; numbers in and out of a step.
  virtual int64_t add_stream(int64_t batch) = 0;
  struct StreamSize {
    DType dtype;
    int64_t x, y;
  };
  /// ERR_STATE for an unknown handle, here and below.
  virtual StreamSize stream_size(int64_t stream) = 0;
  /// `x` and `y` are arrays of the engine's number type with as many entries as `stream_size` says.
  virtual void step_stream(int64_t stream, const void* x, void* y) = 0;
  virtual NamedTensors stream_state(int64_t stream) = 0;
  virtual void set_stream_state(int64_t stream, NamedTensors state) = 0;
  virtual void remove_stream(int64_t stream) = 0;

  /// Gradients as they stand, by parameter.
  virtual NamedTensors gradients() = 0;
  /// Parameters, running statistics, slots ('<parameter>:<slot>') and the states that stateful
  /// training goes on from, where there are any.
  virtual NamedTensors tensors() = 0;
  /// All or nothing; ERR_FORMAT for a name that is unknown or given twice, or another shape.
  virtual void set_tensors(NamedTensors tensors) = 0;
  virtual Counters counters() = 0;
  virtual void set_counters(const Counters& counters) = 0;
};

/// Throws ERR_OPTION, ERR_MEMORY, ERR_DEVICE.
std::unique_ptr<Engine> make_engine(const EngineSpec& spec);

}  // namespace lookback
