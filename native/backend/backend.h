/// What a device provides to the model: memory, recurrences, matrix products and the elementwise
/// parts of a training step. `model/` includes this file and never a folder of one device. All
/// arrays are in the public layout: row-major, batch-major [B, T, features]; how a driver tiles
/// them is its own secret. Arrays of numbers, labels and indices lie in `Backend::memory`; lengths,
/// origins, row numbers, quantiles and everything without a pointer are the host's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/memory_space.h"
#include "base/spec.h"
#include "ops/calls.h"
#include "ops/gemm.h"

namespace lookback {

enum class DeviceKind { kCpu, kCuda, kEmulated };

/// A shaped, non-owning array.
template <class T>
struct Tensor {
  T* data = nullptr;
  std::vector<int64_t> shape;
  int64_t size() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};
template <class T>
using Tensors = std::map<std::string, Tensor<T>>;

/// How a parameter starts.
struct Initializer {
  enum Kind { kConstant, kUniform, kNormal, kOrthogonal, kIdentity, kCustom };
  Kind kind = kConstant;
  double value = 0;  ///< the constant, the half-width of the uniform distribution, or the deviation
  /// After the above: rows [begin, end) of the first dimension get a constant (forget biases).
  struct Rows {
    int64_t begin, end;
    double value;
  };
  std::vector<Rows> rows;
  /// kCustom: `uniform(i)` is the parameter's own sequence of numbers in [0, 1).
  std::function<void(const std::function<double(int64_t)>& uniform, double* values)> fill;
};

struct ParamInfo {
  std::string name;  ///< as in the test vectors: "W_x", "l0.bn_k.gamma"
  std::vector<int64_t> shape;
  Initializer init;
  bool fixed = false;  ///< never trained: it has no gradient
};

/// State that training carries beside the parameters (running statistics); same names as inputs and
/// outputs.
struct BufferInfo {
  std::string name;  ///< "buf.l0.bn_k.mean"
  std::vector<int64_t> shape;
  double initial = 0;
};

struct TensorInfo {
  std::string name;
  std::vector<int64_t> shape;
  bool differentiable = true;  ///< `backward` takes a gradient of it
};

struct CellInfo {
  std::string kind;
  int input_size = 0;
  int output_size = 0;
  std::vector<ParamInfo> params;
  std::vector<BufferInfo> buffers;
};

/// Identifies one draw of dropout masks: the same key gives the same numbers on every device and
/// thread count.
struct DropoutKey {
  uint64_t seed = 0;
  uint64_t step = 0;   ///< training step
  uint32_t layer = 0;  ///< index of the layer in the model
};

/// Where a batch row of a call begins in a larger one: drawn masks are that one's.
struct RowOrigin {
  int64_t row = 0;
  int64_t step = 0;
};

template <class S>
struct ForwardCall {
  int64_t batch = 0;
  int64_t steps = 0;
  bool training =
      false;  ///< batch statistics and their running update; dropout when `dropout` is set
  const DropoutKey* dropout =
      nullptr;  ///< draws masks for the rates in the spec; null: only masks given as inputs
  /// "x" [B,T,C]; optionally states, masks and buffers under their vector names, with [T,B,..] as
  /// [B,T,..]; "resets" [B,T], see SegmentedRecurrence.
  Tensors<const S> inputs;
  const int32_t* lengths = nullptr;    ///< [B], each in 0..T, or null: all T
  const RowOrigin* origins = nullptr;  ///< [B], or null: each row is itself, from step 0
  std::vector<const S*> params;        ///< in the order of CellInfo::params
  /// Not 0: parameters and buffers are those of the call before with the same number, if that was
  /// the last one; what was made from them may be used again.
  uint64_t version = 0;
  /// Beside the names of `Recurrence::outputs`: "y_last" [B,H], y at each row's last step. A model
  /// that keeps only that needs no room for "y". Destinations; those present are written. A buffer
  /// may be its own destination.
  Tensors<S> outputs;
};

template <class S>
struct BackwardCall {
  Tensors<const S>
      upstream;  ///< gradients of outputs ("y", "y_last", "h_n", ...); absent ones are zero
  std::vector<const S*> params;
  std::vector<S*> d_params;  ///< accumulated into (+=); entries may be null to skip
  Tensors<S> d_inputs;       ///< "x", "h0", ...; those present are assigned (=)
};

/// cuBLAS as a session of the CUDA device has it.
struct CublasReport {
  std::string library;  ///< the file; empty where none was found
  std::string version;  ///< "13.1.2"; empty where it is not used
  std::string reason;   ///< why it is not used; empty where it is, and where nobody has looked yet
};

/// What of a GPU the choice of a driver depends on.
struct GpuSize {
  std::string name;
  int multiprocessors = 1;
  int64_t shared_bytes = 0;                 ///< of one block, the most that can be asked for
  int max_cluster = 1;                      ///< blocks of the largest thread-block cluster
  std::optional<CublasReport> cublas = {};  ///< of a GPU that is here
};

/// The passes whose plan is asked for.
struct PlanCall {
  int64_t batch = 1;
  int64_t steps = 1;
  bool training = true;        ///< forward and backward; else forward alone
  std::optional<GpuSize> gpu;  ///< that one, which need not be there; empty: the device at hand
  bool beside = false;         ///< a call may run on another thread: changes nothing of the device
};

/// How the loop over time of one layer runs.
struct LoopPlan {
  std::string name;    ///< of the layer within a stack, "l0"; empty where it is the only one
  std::string driver;  ///< "tiles" or "rows" (the CPU's), "resident" or "stepwise" (a GPU's)
  std::string text;    ///< all of it in words
};

/// Everything that one forward pass saves for its backward pass; made once per (batch, steps) and
/// used again.
class Tape {
 public:
  virtual ~Tape() = default;
  virtual size_t bytes() const = 0;
};

/// One recurrent cell with its options, bound to a device.
template <class S>
class Recurrence {
 public:
  virtual ~Recurrence() = default;
  virtual const CellInfo& info() const = 0;
  /// Names and shapes of everything that `forward` can write, buffers and derived matrices
  /// included.
  virtual std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const = 0;
  /// Matrices that the time loop works with and that are made from parameters ("W" of an orthogonal
  /// cell): outputs of `forward`, and gradients that `backward` gives among its `d_inputs`.
  virtual std::vector<TensorInfo> derived() const { return {}; }
  /// Names of the inputs that have a gradient, a subset of those that `forward` understands.
  virtual std::vector<std::string> differentiable_inputs() const = 0;
  /// What makes rows of a batch depend on each other or keeps them from ending at different steps,
  /// in words; empty where nothing does.
  virtual std::string couples_rows(bool training) const {
    static_cast<void>(training);
    return {};
  }
  /// How the loop of each layer runs at that size; nothing is run.
  virtual std::vector<LoopPlan> explain(const PlanCall& call) const = 0;
  /// What `read_saved` gives for a batch, by the names of the cell's document: [B,T,...].
  virtual std::vector<TensorInfo> saved(int64_t batch, int64_t steps) const {
    static_cast<void>(batch);
    static_cast<void>(steps);
    return {};
  }
  /// What the last `forward` has left on the tape, which was made to `keep`, before `backward`. 0
  /// beyond a row's length.
  virtual void read_saved(const Tape& tape, const Tensors<S>& to) const {
    static_cast<void>(tape);
    static_cast<void>(to);
  }
  /// `keep`: the tape will be read by `backward`. Throws ERR_MEMORY with the bytes wanted.
  virtual std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) = 0;
  virtual void forward(const ForwardCall<S>& call, Tape& tape) = 0;
  /// Uses the tape of the last `forward`, once (it overwrites what was saved).
  virtual void backward(const BackwardCall<S>& call, Tape& tape) = 0;
  /// Whether `settle` ever does anything.
  virtual bool settles() const { return false; }
  /// To be called after every update of the parameters, and once before the `first`. Cells that
  /// describe a matrix in more than one way may change parameters and buffers (by their names, in
  /// place) to another description of it. Returns the parameters, by their place in
  /// CellInfo::params, whose optimizer state no longer belongs to them. Throws ERR_NUMERIC.
  virtual std::vector<int> settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                                  bool first) {
    static_cast<void>(first);
    static_cast<void>(params);
    static_cast<void>(buffers);
    return {};
  }
};

template <class S>
class Backend {
 public:
  virtual ~Backend() = default;
  virtual int threads() const = 0;
  /// Where the arrays of all calls lie.
  virtual MemorySpace& memory() { return host_memory(); }
  /// Polled inside time loops at least every 10 ms; when it reads true the call throws ERR_ABORTED.
  virtual void set_cancel(const std::atomic<bool>* cancel) = 0;

  virtual std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) = 0;
  virtual void gemm(const Gemm<S>& g) = 0;

  /// y[r, c] += bias[c].
  virtual void add_bias(int64_t rows, int64_t cols, const S* bias, S* y) = 0;
  /// out[c] += sum over rows of x[r, c], in a fixed order.
  virtual void sum_rows(int64_t rows, int64_t cols, const S* x, S* out) = 0;
  /// In place. `cols` matters for softmax only.
  virtual void activate(Activation kind, int64_t rows, int64_t cols, S* y) = 0;
  /// dy becomes the gradient before the activation, from the activation's output y.
  virtual void activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y,
                                 S* dy) = 0;
  /// y = x * mask / (1 - rate); element i of row r of the batch draws from (key, r, i). Applying it
  /// to a gradient is its own backward. x may be y.
  virtual void dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols, const S* x,
                       S* y) = 0;
  virtual LossSum loss(const LossCall<S>& call) = 0;
  virtual void layer_norm(const LayerNorm<S>& norm, S* y) = 0;
  /// dx is assigned (null: skipped); dy becomes dy * xhat, whose sum over rows is the gradient of
  /// the gain.
  virtual void layer_norm_backward(const LayerNorm<S>& norm, S* dy, S* dx) = 0;
  /// y[i] = table[index[i]], rows of `cols` numbers; every index is in range.
  virtual void gather_rows(int64_t count, int64_t cols, const int32_t* index, const S* table,
                           S* y) = 0;
  /// table[index[i]] += y[i], in the order of i.
  virtual void scatter_rows(int64_t count, int64_t cols, const int32_t* index, const S* y,
                            int64_t table_rows, S* table) = 0;
  virtual void pool(const Pool<S>& pool, S* y) = 0;
  /// dx [batch, steps, features] is assigned. Equal maxima: the first gets the gradient.
  virtual void pool_backward(const Pool<S>& pool, const S* dy, S* dx) = 0;
  /// y[b, t] = x[b, L - 1 - t] for the L valid steps of each row; what is behind them is copied.
  virtual void reverse_steps(int64_t batch, int64_t steps, int64_t features, const int32_t* lengths,
                             const S* x, S* y) = 0;
  /// Copies rows of `cols` numbers between arrays whose rows are further apart.
  virtual void copy_columns(int64_t rows, int64_t cols, const S* from, int64_t from_row, S* to,
                            int64_t to_row) = 0;
  /// Row i of every destination is row rows[i] of its source, or row first + i where `rows`
  /// ([count], on the host) is null.
  virtual void copy_rows(const uint32_t* rows, int64_t first, int64_t count,
                         const std::vector<RowCopy>& parts) = 0;
  /// index[i] = x[i]. Gives the first i that is no whole number in 0..rows - 1, or -1.
  virtual int64_t read_indices(const IndexRead<S>& read, int32_t* index) = 0;
  /// Writes all weights to `out` [terms].
  virtual TermSum weigh_terms(const TermWeights<S>& terms, S* out) = 0;
  /// y = value.
  virtual void fill(int64_t n, S value, S* y) = 0;
  /// y += x.
  virtual void add(int64_t n, const S* x, S* y) = 0;
  /// In double, in a fixed order.
  virtual double sum_squares(int64_t n, const S* x) = 0;
  virtual void update(const OptimizerStep<S>& step) = 0;
};

/// `threads` 0: from the process' CPU affinity and the container's quota. ERR_DEVICE where the kind
/// is not built in.
template <class S>
std::unique_ptr<Backend<S>> make_backend(DeviceKind kind, int threads);

/// What was found, for `backendInfo()` and `doctor`.
struct CpuReport {
  std::string isa;                     ///< in use: "avx512", "avx2" or "generic"
  std::string reason;                  ///< why this one
  std::vector<std::string> available;  ///< compiled in
  int threads = 1;                     ///< default thread count
  std::string threads_reason;          ///< affinity or cgroup quota
};
CpuReport cpu_report();

struct CudaReport {
  std::string library;  ///< where it is, or was looked for
  std::string build;    ///< of the library; empty where it could not be used
  std::string reason;   ///< why there is no CUDA device to be used; empty where there is
  struct Device {
    std::string name;
    int major = 0, minor = 0;
    int64_t total_bytes = 0, free_bytes = 0;
    int multiprocessors = 0;
    int64_t shared_bytes = 0;  ///< of one block, the most that can be asked for
    int max_cluster = 1;       ///< blocks of the largest thread-block cluster
    int driver = 0;            ///< 1000 * major + 10 * minor, of CUDA
  };
  std::vector<Device> devices;
};
/// Loads the library if it can.
CudaReport cuda_report();

/// cuBLAS as a model that trains on the CUDA device would open it, on a session of its own.
CublasReport cublas_report();

}  // namespace lookback
