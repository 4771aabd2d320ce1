#include "backend/segmented.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/arena.h"
#include "base/error.h"

namespace lookback {
namespace segmented {

/// Steps [begin, begin + length) of one row.
struct Segment {
  int64_t row = 0, begin = 0, length = 0;
  bool given = false;  ///< starts from what the caller gives
  bool last = false;   ///< ends its row
};

/// Where the batch stands among the dimensions of a tensor, and what belongs to one row.
struct RowLayout {
  int64_t outer = 1, rows = 0, inner = 1;

  RowLayout(const std::vector<int64_t>& shape, size_t axis) : rows(shape[axis]) {
    for (size_t i = 0; i < axis; ++i) outer *= shape[i];
    for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  }
};

inline bool is_state(const std::string& name) {
  return name.size() > 1 && name.back() == '0' && name.find('.') == std::string::npos;
}
inline bool is_final(const std::string& name) {
  return name.size() > 2 && name.compare(name.size() - 2, 2, "_n") == 0;
}
inline bool is_buffer(const std::string& name) { return name.compare(0, 4, "buf.") == 0; }

/// Dimensions before the batch: states of a stack and of a queue or window have them, sequences do
/// not. The last dimension of a state is its units; a count has none.
inline size_t batch_axis(const std::string& name, const std::vector<int64_t>& shape) {
  if (is_state(name) || is_final(name)) return shape.size() - 2;
  return name == "queue_count" ? shape.size() - 1 : 0;
}

/// One call's tensors of a part, by name: zero where nothing is put.
template <class S>
struct Owned {
  std::vector<int64_t> shape;
  Buffer<S> numbers;

  Owned() = default;
  Owned(std::vector<int64_t> dims, const ArraySpace<S>& arrays) : shape(std::move(dims)) {
    numbers = arrays.make(element_count(shape, "segments"), "segments");
  }
};
template <class S>
using OwnedTensors = std::map<std::string, Owned<S>>;

template <class S>
Tensors<S> views(OwnedTensors<S>& tensors) {
  Tensors<S> out;
  for (auto& [name, tensor] : tensors) out[name] = {tensor.numbers.data(), tensor.shape};
  return out;
}
template <class S>
Tensors<const S> const_views(const OwnedTensors<S>& tensors) {
  Tensors<const S> out;
  for (const auto& [name, tensor] : tensors) out[name] = {tensor.numbers.data(), tensor.shape};
  return out;
}

/// Segments that run in one call.
template <class S>
struct SegmentPart {
  std::vector<Segment> segments;
  int64_t steps = 0;
  std::vector<int32_t> lengths;
  std::vector<RowOrigin> origins;
  OwnedTensors<S> inputs;
  std::unique_ptr<Tape> tape;

  int64_t rows() const { return static_cast<int64_t>(segments.size()); }
  bool given() const { return segments.front().given; }
};

template <class S>
class SegmentedTape final : public Tape {
 public:
  size_t bytes() const override {
    size_t sum = whole ? whole->bytes() : 0;
    for (const SegmentPart<S>& part : parts) {
      if (part.tape) sum += part.tape->bytes();
      for (const auto& [name, tensor] : part.inputs)
        sum += static_cast<size_t>(tensor.numbers.size()) * sizeof(S);
    }
    return sum;
  }

  int64_t batch = 0, steps = 0;
  bool keep = false;
  std::unique_ptr<Tape> whole;  ///< of calls without resets
  std::vector<SegmentPart<S>> parts;
};

/// The segments of every row, in the order of rows and steps.
template <class S>
std::vector<Segment> cut(const ForwardCall<S>& call, const Tensor<const S>& resets,
                         const ArraySpace<S>& arrays) {
  const std::vector<int64_t> expected{call.batch, call.steps};
  REQUIRE(resets.shape == expected, kShape, "input resets has another shape than [", call.batch,
          ",", call.steps, "]");
  std::vector<S> afresh(static_cast<size_t>(call.batch * call.steps));
  arrays.fetch(resets.data, call.batch * call.steps, afresh.data());
  std::vector<Segment> segments;
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = call.lengths == nullptr ? call.steps : call.lengths[b];
    Segment segment{b, 0, 0, true, false};
    for (int64_t t = 0; t < call.steps; ++t) {
      if (afresh[static_cast<size_t>(b * call.steps + t)] == S(0) || t >= length) continue;
      segment.length = t - segment.begin;
      if (segment.length > 0) segments.push_back(segment);
      segment = {b, t, 0, false, false};
    }
    segment.length = length - segment.begin;
    segment.last = true;
    segments.push_back(segment);
  }
  return segments;
}

/// Puts segments together that start alike and of which none is longer than twice another. An
/// earlier call's tapes are used again where their shapes fit.
template <class S>
std::vector<SegmentPart<S>> make_parts(std::vector<Segment> segments,
                                       std::vector<SegmentPart<S>> before,
                                       Recurrence<S>& recurrence, bool keep) {
  std::stable_sort(segments.begin(), segments.end(), [](const Segment& a, const Segment& b) {
    return a.given != b.given ? a.given : a.length > b.length;
  });
  std::vector<SegmentPart<S>> parts;
  for (const Segment& segment : segments) {
    const int64_t steps = std::max<int64_t>(segment.length, 1);
    const bool fits =
        !parts.empty() && parts.back().given() == segment.given && 2 * steps >= parts.back().steps;
    if (!fits) {
      parts.emplace_back();
      parts.back().steps = steps;
    }
    SegmentPart<S>& part = parts.back();
    part.segments.push_back(segment);
    part.lengths.push_back(static_cast<int32_t>(segment.length));
    part.origins.push_back({segment.row, segment.begin});
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool again = i < before.size() && before[i].rows() == parts[i].rows() &&
                       before[i].steps == parts[i].steps;
    if (again) parts[i].tape = std::move(before[i].tape);
  }
  before.clear();  // before new ones are made: both together could be more than the machine has
  for (SegmentPart<S>& part : parts)
    if (!part.tape) part.tape = recurrence.make_tape(part.rows(), part.steps, keep);
  return parts;
}

/// The shape of a tensor for a part's rows; sequences also get its number of steps.
template <class S>
std::vector<int64_t> shape_of(const SegmentPart<S>& part, const std::string& name,
                              std::vector<int64_t> shape, bool sequence) {
  shape[batch_axis(name, shape)] = part.rows();
  if (sequence) shape[1] = part.steps;
  return shape;
}

/// f(public number, part's number, count) for every run of numbers that a tensor of the whole call
/// and that of a part have in common.
template <class S, class F>
void for_runs(const SegmentPart<S>& part, const std::string& name,
              const std::vector<int64_t>& whole, bool sequence, const F& f) {
  const RowLayout layout(whole, batch_axis(name, whole));
  const int64_t width = sequence ? layout.inner / whole[1] : layout.inner;
  const int64_t part_row = sequence ? part.steps * width : width;
  for (int64_t outer = 0; outer < layout.outer; ++outer) {
    for (int64_t i = 0; i < part.rows(); ++i) {
      const Segment& segment = part.segments[static_cast<size_t>(i)];
      const int64_t row = (outer * layout.rows + segment.row) * layout.inner;
      f(segment, sequence ? row + segment.begin * width : row, (outer * part.rows() + i) * part_row,
        sequence ? segment.length * width : width);
    }
  }
}

template <class S>
Owned<S> gather(const SegmentPart<S>& part, const std::string& name, const Tensor<const S>& whole,
                bool sequence, const ArraySpace<S>& arrays) {
  Owned<S> own(shape_of(part, name, whole.shape, sequence), arrays);
  for_runs(part, name, whole.shape, sequence,
           [&](const Segment&, int64_t from, int64_t to, int64_t count) {
             arrays.copy(whole.data + from, count, own.numbers.data() + to);
           });
  return own;
}

/// Copies the rows of segments that `wanted` says yes to.
template <class S, class Wanted>
void scatter(const SegmentPart<S>& part, const std::string& name, const Owned<S>& own,
             const Tensor<S>& whole, bool sequence, Wanted wanted, const ArraySpace<S>& arrays) {
  for_runs(part, name, whole.shape, sequence,
           [&](const Segment& segment, int64_t to, int64_t from, int64_t count) {
             if (wanted(segment)) arrays.copy(own.numbers.data() + from, count, whole.data + to);
           });
}

inline bool every(const Segment&) { return true; }
inline bool ends_row(const Segment& segment) { return segment.last; }

template <class S>
void forward_part(const ForwardCall<S>& call, Recurrence<S>& recurrence, SegmentPart<S>& part,
                  const std::set<std::string>& of_rows, const ArraySpace<S>& arrays) {
  ForwardCall<S> inner;
  inner.batch = part.rows();
  inner.steps = part.steps;
  inner.training = call.training;
  inner.dropout = call.dropout;
  inner.origins = part.origins.data();
  inner.lengths = part.lengths.data();
  inner.params = call.params;
  inner.version = call.version;
  for (const auto& [name, tensor] : call.inputs) {
    if (name == "resets" || is_buffer(name)) continue;
    if (is_state(name) && !part.given()) continue;
    part.inputs[name] = gather(part, name, tensor, !is_state(name), arrays);
  }
  inner.inputs = const_views(part.inputs);
  for (const auto& [name, tensor] : call.inputs)
    if (is_buffer(name)) inner.inputs[name] = tensor;
  OwnedTensors<S> rows;
  for (const auto& [name, tensor] : call.outputs) {
    if (of_rows.count(name) != 0) {
      rows[name] = Owned<S>(shape_of(part, name, tensor.shape, name == "y"), arrays);
    } else {
      inner.outputs[name] = tensor;
    }
  }
  for (const auto& [name, tensor] : views(rows)) inner.outputs[name] = tensor;
  recurrence.forward(inner, *part.tape);
  for (const auto& [name, own] : rows) {
    const bool sequence = name == "y";
    scatter(part, name, own, call.outputs.at(name), sequence, sequence ? every : ends_row, arrays);
  }
}

template <class S>
void backward_part(const BackwardCall<S>& call, Recurrence<S>& recurrence, SegmentPart<S>& part,
                   const ArraySpace<S>& arrays) {
  BackwardCall<S> inner;
  inner.params = call.params;
  inner.d_params = call.d_params;
  OwnedTensors<S> upstream, gradients;
  for (const auto& [name, tensor] : call.upstream) {
    Owned<S> own = gather(part, name, tensor, name == "y", arrays);
    if (name != "y") {
      for_runs(part, name, tensor.shape, false,
               [&](const Segment& segment, int64_t, int64_t at, int64_t count) {
                 if (!segment.last) arrays.zero(own.numbers.data() + at, count);
               });
    }
    upstream[name] = std::move(own);
  }
  inner.upstream = const_views(upstream);
  for (const auto& [name, tensor] : call.d_inputs) {
    if (is_state(name) && !part.given()) continue;
    const bool of_rows = name == "x" || is_state(name);
    gradients[name] =
        Owned<S>(of_rows ? shape_of(part, name, tensor.shape, name == "x") : tensor.shape, arrays);
  }
  inner.d_inputs = views(gradients);
  recurrence.backward(inner, *part.tape);
  for (const auto& [name, own] : gradients) {
    const Tensor<S>& to = call.d_inputs.at(name);
    if (name == "x" || is_state(name)) {
      scatter(part, name, own, to, name == "x", every, arrays);
    } else {
      arrays.add(own.numbers.size(), own.numbers.data(), to.data);
    }
  }
}

}  // namespace segmented

template <class S>
SegmentedRecurrence<S>::SegmentedRecurrence(std::unique_ptr<Recurrence<S>> whole,
                                            const ArraySpace<S>& arrays)
    : whole_(std::move(whole)), arrays_(arrays), rows_{"y_last", "queue_count"} {
  for (const TensorInfo& out : whole_->outputs(1, 1))
    if (out.differentiable) rows_.insert(out.name);
}

template <class S>
std::unique_ptr<Tape> SegmentedRecurrence<S>::make_tape(int64_t batch, int64_t steps, bool keep) {
  auto t = std::make_unique<segmented::SegmentedTape<S>>();
  t->batch = batch;
  t->steps = steps;
  t->keep = keep;
  t->whole = whole_->make_tape(batch, steps, keep);
  return t;
}

template <class S>
void SegmentedRecurrence<S>::forward(const ForwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<segmented::SegmentedTape<S>&>(tape);
  const auto resets = call.inputs.find("resets");
  if (resets == call.inputs.end()) {
    t.parts.clear();
    if (!t.whole) t.whole = whole_->make_tape(t.batch, t.steps, t.keep);
    whole_->forward(call, *t.whole);
    return;
  }
  const std::string reason = couples_rows(call.training);
  REQUIRE(reason.empty(), kOption, "resets do not go with ", reason);
  for (int64_t b = 0; call.lengths != nullptr && b < call.batch; ++b) {
    REQUIRE(call.lengths[b] >= 0 && call.lengths[b] <= call.steps, kShape, "lengths[", b, "] is ",
            call.lengths[b], "; expected 0 to ", call.steps);
  }
  std::vector<segmented::Segment> segments = segmented::cut(call, resets->second, arrays_);
  t.whole.reset();
  std::vector<segmented::SegmentPart<S>> before = std::move(t.parts);
  t.parts.clear();
  t.parts = segmented::make_parts(std::move(segments), std::move(before), *whole_, t.keep);
  for (const auto& [name, tensor] : call.outputs)
    if (name == "y") arrays_.zero(tensor.data, tensor.size());
  for (segmented::SegmentPart<S>& part : t.parts)
    segmented::forward_part(call, *whole_, part, rows_, arrays_);
}

template <class S>
void SegmentedRecurrence<S>::read_saved(const Tape& tape, const Tensors<S>& to) const {
  const auto& t = static_cast<const segmented::SegmentedTape<S>&>(tape);
  if (t.parts.empty()) {
    REQUIRE(t.whole != nullptr, kState,
            "what a forward pass has saved can be read before backward");
    whole_->read_saved(*t.whole, to);
    return;
  }
  for (const auto& [name, tensor] : to) arrays_.zero(tensor.data, tensor.size());
  for (const segmented::SegmentPart<S>& part : t.parts) {
    segmented::OwnedTensors<S> own;
    for (const auto& [name, tensor] : to)
      own[name] = segmented::Owned<S>(segmented::shape_of(part, name, tensor.shape, true), arrays_);
    whole_->read_saved(*part.tape, segmented::views(own));
    for (const auto& [name, tensor] : own)
      segmented::scatter(part, name, tensor, to.at(name), true, segmented::every, arrays_);
  }
}

template <class S>
void SegmentedRecurrence<S>::backward(const BackwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<segmented::SegmentedTape<S>&>(tape);
  if (t.parts.empty()) {
    REQUIRE(t.whole != nullptr, kState, "backward needs the tape of a forward pass, once");
    whole_->backward(call, *t.whole);
    return;
  }
  for (const auto& [name, tensor] : call.d_inputs) arrays_.zero(tensor.data, tensor.size());
  for (segmented::SegmentPart<S>& part : t.parts)
    segmented::backward_part(call, *whole_, part, arrays_);
}

template class SegmentedRecurrence<float>;
template class SegmentedRecurrence<double>;

}  // namespace lookback
