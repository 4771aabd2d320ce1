/// One recurrent cell on plain tensors: forward with every output, backward with every gradient.
/// The door behind `cells.*`, free of element type and device.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "model/host_tensor.h"

namespace lookback {

/// A tensor that a call gives, for whoever makes room for it.
struct ResultInfo {
  std::string name;
  std::vector<int64_t> shape;
  bool zeroed;  ///< added to, from zeros; else all of it is written
};

/// A forward pass that can be gone back through once.
class CallTape {
 public:
  virtual ~CallTape() = default;
  virtual DType dtype() const = 0;
  /// What `backward` gives: gradients of every differentiable input that `forward` was given, and
  /// of every weight.
  virtual std::vector<ResultInfo> gradients() const = 0;
  /// upstream   gradients of outputs, by name; absent ones are zero
  /// gradients  room of the host for each of `gradients()`, in that order
  /// Throws ERR_OPTION for an unknown name, ERR_SHAPE.
  virtual void backward(NamedTensors upstream, NamedTensors& gradients,
                        const std::atomic<bool>* cancel) = 0;
  /// What the forward pass has saved, by the names of the cell's document: [B, T, ...]. Before
  /// `backward`, which uses it up.
  virtual NamedTensors saved() const = 0;
};

/// A cell with its options. Calls are independent of each other and may run at the same time on
/// several threads.
class CellRunner {
 public:
  virtual ~CellRunner() = default;
  virtual DType dtype() const = 0;
  virtual const std::vector<ParamInfo>& params() const = 0;
  /// What its passes hold, those whose tapes are in use and the one kept for the next call, as of
  /// the last `forward` of each.
  virtual int64_t bytes() const = 0;
  /// What `forward` gives for these inputs. Throws ERR_OPTION without "x", ERR_SHAPE.
  virtual std::vector<ResultInfo> outputs(const NamedTensors& inputs) const = 0;
  /// inputs   "x" [B, T, inputSize]; "lengths" as integers [B]; states, masks and buffers ("buf.*",
  /// by default as at the
  ///          start of training) by name, with [T, B, ..] as [B, T, ..]
  /// weights  all of `params()`, by name
  /// outputs  room of the host for each of `outputs(inputs)`, in that order
  /// threads  0: from the CPU quota
  /// Throws ERR_OPTION for an unknown or missing name, ERR_SHAPE, ERR_DATA, ERR_MEMORY,
  /// ERR_ABORTED.
  virtual std::unique_ptr<CallTape> forward(NamedTensors inputs, NamedTensors weights,
                                            NamedTensors& outputs, bool training, int threads,
                                            const std::atomic<bool>* cancel) const = 0;
};

/// Throws ERR_OPTION for a spec that the cell refuses, ERR_DEVICE.
std::shared_ptr<const CellRunner> make_cell_runner(const std::string& kind, const Spec& spec,
                                                   DType dtype, DeviceKind device);

}  // namespace lookback
