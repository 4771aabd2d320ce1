/// Fixed random data for a `CellCase`, and one forward and backward pass of a recurrence on it, for
/// every number type. Tensors are known by their names, as in the contract of the backend.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"
#include "native/cell_cases.h"

namespace lookback {

template <class S>
using Arrays = std::map<std::string, std::vector<S>>;

using Shape = std::vector<int64_t>;

inline int64_t count(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

/// Number i of tensor `name`, uniform in [-1, 1): it depends on nothing else.
inline double noise(const std::string& name, int64_t i) {
  uint32_t stream = 2166136261u;  // FNV-1a
  for (const char letter : name) stream = (stream ^ static_cast<uint8_t>(letter)) * 16777619u;
  return 2 * uniform_at(17, RandomUse::kCaller, stream, static_cast<uint64_t>(i)) - 1;
}

inline bool starts_with(const std::string& name, const char* with) {
  return name.rfind(with, 0) == 0;
}
inline bool ends_with(const std::string& name, const std::string& with) {
  return name.size() >= with.size() &&
         name.compare(name.size() - with.size(), with.size(), with) == 0;
}

/// What one call takes and gives.
struct CellData {
  std::map<std::string, Shape> input_shapes, output_shapes, param_shapes;
  Arrays<double> inputs, params, upstream;
  std::vector<std::string> param_order;
  std::set<std::string> derived;  ///< outputs that are made from parameters or buffers, not of rows
  std::set<std::string> fixed;    ///< parameters that have no gradient
  std::vector<int32_t> lengths;   ///< empty: none
  int64_t batch = 0, steps = 0;
  bool training = false, drawn = false;
};

/// The position of the batch among a tensor's dimensions.
inline size_t batch_axis(const std::string& name, const Shape& shape) {
  if (name == "queue_count") return shape.size() - 1;
  const bool state = ends_with(name, "_n") || (name.size() > 1 && ends_with(name, "0"));
  return state ? shape.size() - 2 : 0;
}

/// "h0" of "h_n".
inline std::string initial_name(const std::string& final_name) {
  return final_name.substr(0, final_name.size() - 2) + "0";
}

template <class S>
void shape_states(const CellCase& c, const Recurrence<S>& cell, CellData& data) {
  for (const TensorInfo& out : cell.outputs(c.batch, c.steps)) {
    if (!ends_with(out.name, "_n") || c.entries == 0) continue;
    const std::vector<std::string>& given = c.given;
    const auto named = std::find(given.begin(), given.end(), initial_name(out.name));
    if (!given.empty() && named == given.end()) continue;
    Shape shape = out.shape;
    const bool layered = c.spec.has("layers");
    if (layered) shape[0] = replays(c.spec) ? 1 : c.spec.integer("layers", 1, 1, 64);
    if (starts_with(out.name, "window")) {  // given as a whole
      data.input_shapes[initial_name(out.name)] = shape;
      continue;
    }
    // A queue has the dimension of its entries before the batch.
    const size_t entries = layered ? 1 : 0;
    if (shape.size() == entries + 3) shape[entries] = c.entries;
    data.input_shapes[initial_name(out.name)] = shape;
  }
}

template <class S>
void shape_masks(const CellCase& c, const Recurrence<S>& cell, CellData& data) {
  const int64_t units = cell.info().output_size, heads = c.spec.integer("heads", 1, 1, 64);
  const int64_t window = c.spec.integer("window", 1, 1, 64);
  int64_t entry_width = 0;
  for (const ParamInfo& p : cell.info().params) {
    if (ends_with(p.name, "W_k")) entry_width = p.shape[1];
  }
  for (int layer = 0; layer < c.spec.integer("layers", 1, 1, 64); ++layer) {
    for (const std::string& mask : c.masks) {
      Shape shape = {c.batch, c.steps, units};
      if (mask == "input" && (layer == 0 || replays(c.spec))) shape[2] = cell.info().input_size;
      if (c.cell == "scurnn" && mask != "input") shape[2] = units / 2;  // complex units
      if (!c.spec.has("layers")) {
        data.input_shapes["mask." + mask] = shape;
        continue;
      }
      if (mask == "attn") shape = {c.batch, c.steps, heads, window};
      if (mask == "pos") shape = {c.batch, c.steps, window, entry_width};
      data.input_shapes["mask.l" + std::to_string(layer) + "." + mask] = shape;
    }
  }
  if (c.hold) data.input_shapes["mask"] = {c.batch, c.steps};
  if (c.resets) data.input_shapes["resets"] = {c.batch, c.steps};
}

/// What the numbers of a tensor must look like to be meaningful.
inline double number_of(const std::string& name, int64_t i) {
  const double u = noise(name, i);
  if (ends_with(name, ".var")) return 1.2 + u;
  if (ends_with(name, ".gamma")) return 1 + 0.6 * u;
  if (starts_with(name, "mask.zoneout")) return u < -0.3 ? 1 : 0;
  if (name == "d") return u < 0 ? -1 : 1;
  if (starts_with(name, "mask.")) return u < -0.4 ? 0 : 1 / 0.7;
  if (name == "resets") return u > 0.4 ? 1 : 0;
  // A third of each: step skipped, step taken, and the exotic share of both.
  if (name == "mask") return u < -0.33 ? 0 : u < 0.33 ? 1 : 0.5 * u;
  return u;
}

/// Brings a matrix into the form that its cell asks for: A skew-symmetric or skew-Hermitian, a base
/// orthogonal.
inline void keep_form(const std::string& name, const Shape& shape, std::vector<double>& numbers) {
  const bool skew = name == "A" || name == "A_re", symmetric = name == "A_im";
  if (!skew && !symmetric && name != "base") return;
  const auto n = static_cast<size_t>(shape[0]);
  if (name == "base") {  // the reflection along the first row
    const std::vector<double> v(numbers.begin(), numbers.begin() + shape[0]);
    double square = 0;
    for (const double entry : v) square += entry * entry;
    for (size_t i = 0; i < n * n; ++i)
      numbers[i] = (i % n == i / n ? 1 : 0) - 2 * v[i / n] * v[i % n] / square;
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) numbers[i * n + j] = (skew ? -1 : 1) * numbers[j * n + i];
    if (skew) numbers[i * n + i] = 0;
  }
}

inline std::vector<double> numbers_of(const std::string& name, const Shape& shape) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < count(shape); ++i) numbers.push_back(number_of(name, i));
  keep_form(name, shape, numbers);
  if (name != "W_a") return numbers;
  // They are divided by their sum, also by that of the first few: it keeps away from 0, and large
  // beside the steps that derivatives are taken with. Some are negative.
  const size_t columns = numbers.size() / static_cast<size_t>(shape[0]);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = i < columns ? 4 + numbers[i] : 1 + 2 * numbers[i];
  return numbers;
}

/// What <gradient, direction> counts of the derivative along the direction: the entries of A are
/// tied in pairs, and the gradient of the pair stands at both. (That of scuRNN is a projection.)
inline double counted_times(const std::string& name) { return name == "A" ? 2 : 1; }

/// Lengths T, T / 2, 0, 1 and T - 1 in turn.
inline std::vector<int32_t> some_lengths(int64_t batch, int64_t steps) {
  std::vector<int32_t> lengths;
  const int64_t kinds[] = {steps, steps / 2, 0, std::min<int64_t>(1, steps), steps - 1};
  for (int64_t b = 0; b < batch; ++b) lengths.push_back(static_cast<int32_t>(kinds[b % 5]));
  return lengths;
}

template <class S>
CellData make_data(const CellCase& c, const Recurrence<S>& cell) {
  CellData data;
  data.batch = c.batch;
  data.steps = c.steps;
  data.training = c.training;
  data.drawn = c.drawn;
  if (c.lengths) data.lengths = some_lengths(c.batch, c.steps);
  data.input_shapes["x"] = {c.batch, c.steps, cell.info().input_size};
  shape_states(c, cell, data);
  shape_masks(c, cell, data);
  for (const BufferInfo& b : cell.info().buffers) data.input_shapes[b.name] = b.shape;
  for (const auto& [name, shape] : data.input_shapes) data.inputs[name] = numbers_of(name, shape);
  for (const BufferInfo& b : cell.info().buffers) {
    // Running statistics may be any; the state of a parametrization is that of the start.
    if (ends_with(b.name, ".mean") || ends_with(b.name, ".var")) continue;
    for (double& number : data.inputs[b.name]) number = b.initial;
  }
  for (const ParamInfo& p : cell.info().params) {
    data.param_order.push_back(p.name);
    if (p.fixed) data.fixed.insert(p.name);
    data.param_shapes[p.name] = p.shape;
    data.params[p.name] = numbers_of(p.name, p.shape);
  }
  std::vector<TensorInfo> outputs = cell.outputs(c.batch, c.steps);
  outputs.push_back({"y_last", {c.batch, cell.info().output_size}});
  for (const TensorInfo& out : outputs) {
    data.output_shapes[out.name] = out.shape;
    if (!out.differentiable) {
      if (out.name != "queue_count") data.derived.insert(out.name);
      continue;
    }
    data.upstream[out.name] = numbers_of("up." + out.name, out.shape);
  }
  return data;
}

template <class To, class From>
Arrays<To> convert(const Arrays<From>& arrays) {
  Arrays<To> out;
  for (const auto& [name, numbers] : arrays) {
    for (const From number : numbers) out[name].push_back(static_cast<To>(number));
    out[name].resize(numbers.size());
  }
  return out;
}

template <class S>
Tensors<const S> views(const Arrays<S>& arrays, const std::map<std::string, Shape>& shapes) {
  Tensors<const S> out;
  for (const auto& [name, numbers] : arrays) out[name] = {numbers.data(), shapes.at(name)};
  return out;
}

/// Destinations filled with a number that no cell gives, so that what is not written shows.
template <class S>
Tensors<S> destinations(const std::map<std::string, Shape>& shapes, Arrays<S>& arrays) {
  Tensors<S> out;
  for (const auto& [name, shape] : shapes) {
    arrays[name].assign(static_cast<size_t>(count(shape)), S(-77777));
    out[name] = {arrays[name].data(), shape};
  }
  return out;
}

template <class S>
std::vector<const S*> in_order(const Arrays<S>& params, const std::vector<std::string>& order) {
  std::vector<const S*> out;
  for (const std::string& name : order) out.push_back(params.at(name).data());
  return out;
}

/// One tape and the passes on it.
template <class S>
class CellRun {
 public:
  /// `keep`: whether `backward` will follow.
  CellRun(Recurrence<S>& cell, const CellData& data, bool keep = true)
      : cell_(cell), data_(data), tape_(cell.make_tape(data.batch, data.steps, keep)) {}

  uint64_t version = 0;  ///< of the parameters (ForwardCall)

  Arrays<S> forward(const Arrays<S>& inputs, const Arrays<S>& params) {
    Arrays<S> outputs;
    ForwardCall<S> call;
    call.batch = data_.batch;
    call.steps = data_.steps;
    call.version = version;
    call.training = data_.training;
    const DropoutKey key{5, 2, 1};
    if (data_.drawn) call.dropout = &key;
    call.inputs = views(inputs, data_.input_shapes);
    if (!data_.lengths.empty()) call.lengths = data_.lengths.data();
    call.params = in_order(params, data_.param_order);
    call.outputs = destinations(data_.output_shapes, outputs);
    cell_.forward(call, *tape_);
    return outputs;
  }

  /// Gradients of everything that has one: given inputs and all parameters, by name.
  Arrays<S> backward(const Arrays<S>& upstream, const Arrays<S>& params) {
    Arrays<S> gradients;
    for (const std::string& name : data_.param_order) {
      if (data_.fixed.count(name) == 0) gradients[name].assign(params.at(name).size(), S(0));
    }
    backward_onto(upstream, params, gradients);
    return gradients;
  }

  /// The same, added to the parameters' gradients that are there.
  void backward_onto(const Arrays<S>& upstream, const Arrays<S>& params, Arrays<S>& gradients) {
    BackwardCall<S> call;
    call.upstream = views(upstream, data_.output_shapes);
    call.params = in_order(params, data_.param_order);
    std::map<std::string, Shape> shapes;
    for (const std::string& name : cell_.differentiable_inputs()) {
      const auto given = data_.input_shapes.find(name);
      if (given != data_.input_shapes.end()) shapes.insert(*given);
    }
    call.d_inputs = destinations(shapes, gradients);
    for (const std::string& name : data_.param_order) {
      call.d_params.push_back(data_.fixed.count(name) == 0 ? gradients.at(name).data() : nullptr);
    }
    cell_.backward(call, *tape_);
  }

 private:
  Recurrence<S>& cell_;
  const CellData& data_;
  std::unique_ptr<Tape> tape_;
};

template <class S>
struct CellResult {
  Arrays<S> outputs, gradients;
};

/// Both passes on the data as they are.
template <class S>
CellResult<S> run_cell(Recurrence<S>& cell, const CellData& data) {
  const Arrays<S> inputs = convert<S>(data.inputs), params = convert<S>(data.params);
  CellRun<S> run(cell, data);
  CellResult<S> result;
  result.outputs = run.forward(inputs, params);
  result.gradients = run.backward(convert<S>(data.upstream), params);
  return result;
}

}  // namespace lookback
