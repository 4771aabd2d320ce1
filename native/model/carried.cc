#include "model/carried.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace lookback {
namespace {

/// Where the rows of the batch stand among the dimensions of a state: behind layers and entries.
size_t row_axis(const std::string& name, const std::vector<int64_t>& shape) {
  const std::string count = "queue_count";
  const bool units = name.size() < count.size() ||
                     name.compare(name.size() - count.size(), count.size(), count) != 0;
  return shape.size() - (units ? 2 : 1);
}

/// The numbers of one row come in `outer` pieces of `inner`.
struct Rows {
  int64_t outer = 1, inner = 1;
  Rows(const std::vector<int64_t>& shape, size_t axis) {
    for (size_t i = 0; i < axis; ++i) outer *= shape[i];
    for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  }
};

/// Calls copy(from, count, to) for the pieces of `count` rows between tensors that differ in their
/// number.
template <class S, class Copy>
void copy_state_rows(const Rows& rows, int64_t count, const S* from, int64_t from_rows,
                     int64_t from_first, S* to, int64_t to_rows, int64_t to_first, Copy copy) {
  for (int64_t i = 0; i < rows.outer; ++i) {
    copy(from + (i * from_rows + from_first) * rows.inner, count * rows.inner,
         to + (i * to_rows + to_first) * rows.inner);
  }
}

}  // namespace

template <class S>
std::vector<typename Carried<S>::Entry> Carried<S>::entries() {
  std::vector<Entry> list;
  for (const NamedCarrier<S>& each : carriers_) {
    const HeldStates<S>& held = each.of(kind_).held();
    if (!held.states) continue;
    for (StreamState<S>& state : held.states->states())
      list.push_back({each.prefix + state.name, &state});
  }
  return list;
}

template <class S>
void Carried<S>::set_started(bool started) {
  for (const NamedCarrier<S>& each : carriers_) each.of(kind_).held().started = started;
  started_ = started;
}

template <class S>
void Carried<S>::swap(Held& other) noexcept {
  for (size_t i = 0; i < carriers_.size(); ++i)
    std::swap(carriers_[i].of(kind_).held(), other.layers[i]);
  std::swap(batch_, other.batch);
  std::swap(started_, other.started);
}

template <class S>
void Carried<S>::hold(int64_t batch) {
  REQUIRE(!carriers_.empty(), kState,
          "the model has no recurrent layer, and so no states to hand on");
  if (batch != batch_) {
    Held made = nothing();
    for (size_t i = 0; i < carriers_.size(); ++i)
      made.layers[i].states = carriers_[i].of(kind_).make_states(batch);
    made.batch = batch;
    swap(made);
  }
  clear();
}

template <class S>
void Carried<S>::keep() {
  for (const NamedCarrier<S>& each : carriers_) {
    const HeldStates<S>& held = each.of(kind_).held();
    if (held.states) held.states->keep();
  }
  set_started(true);
}

template <class S>
NamedTensors Carried<S>::make(int64_t rows) {
  NamedTensors list;
  for (const Entry& entry : entries()) {
    std::vector<int64_t> shape = entry.state->shape;
    shape[row_axis(entry.name, shape)] = rows;
    list.push_back({NamedTensor::Role::kState, entry.name, make_tensor<S>(shape, "a state")});
  }
  return list;
}

template <class S>
void Carried<S>::check(const NamedTensors& states, int64_t rows) {
  const NamedTensors known = make(rows);
  for (const NamedTensor& given : states) {
    const auto same = std::find_if(known.begin(), known.end(), [&](const NamedTensor& each) {
      return each.name == given.name;
    });
    REQUIRE(same != known.end(), kOption, "state '", given.name,
            "' is not one of this model; expected those that a call with returnState gives");
    REQUIRE(given.tensor.shape == same->tensor.shape && given.tensor.size() == same->tensor.size(),
            kShape, "state '", given.name, "' has shape ", shape_text(given.tensor.shape), " and ",
            given.tensor.size(), " numbers; expected ", shape_text(same->tensor.shape));
    REQUIRE(std::holds_alternative<Buffer<S>>(given.tensor.data), kShape, "state '", given.name,
            "' has another number type than the model");
    const auto& numbers = std::get<Buffer<S>>(given.tensor.data);
    REQUIRE(std::all_of(numbers.data(), numbers.data() + numbers.size(),
                        [](S value) { return std::isfinite(value); }),
            kData, "state '", given.name, "' holds numbers that are not finite");
  }
  if (kind_ == StateKind::kGradients) return;
  for (const NamedTensor& wanted : known) {
    const auto same = std::count_if(states.begin(), states.end(), [&](const NamedTensor& each) {
      return each.name == wanted.name;
    });
    REQUIRE(same == 1, kOption, "state '", wanted.name, "' is ",
            same == 0 ? "missing; give all states of the model, or none" : "given twice");
  }
}

template <class S>
void Carried<S>::begin_from(const NamedTensors& states, int64_t first) {
  MemorySpace& memory = model_.backend().memory();
  for (const Entry& entry : entries()) {
    const auto same = std::find_if(states.begin(), states.end(), [&](const NamedTensor& each) {
      return each.name == entry.name;
    });
    if (same == states.end()) {
      entry.state->values.zero();
      continue;
    }
    const size_t axis = row_axis(entry.name, entry.state->shape);
    copy_state_rows(Rows(entry.state->shape, axis), batch_,
                    std::get<Buffer<S>>(same->tensor.data).data(), same->tensor.shape[axis], first,
                    entry.state->values.data(), batch_, 0,
                    [&memory](const S* from, int64_t n, S* to) { memory.copy_in(from, n, to); });
  }
  set_started(true);
}

template <class S>
void Carried<S>::tell(NamedTensors& states, int64_t first) {
  MemorySpace& memory = model_.backend().memory();
  const std::vector<Entry> own = entries();
  for (size_t i = 0; i < own.size(); ++i) {
    const size_t axis = row_axis(own[i].name, own[i].state->shape);
    copy_state_rows(Rows(own[i].state->shape, axis), batch_, own[i].state->values.data(), batch_, 0,
                    std::get<Buffer<S>>(states[i].tensor.data).data(), states[i].tensor.shape[axis],
                    first,
                    [&memory](const S* from, int64_t n, S* to) { memory.copy_out(from, n, to); });
  }
}

template <class S>
NamedTensors Carried<S>::snapshot() {
  if (!started_) return {};
  NamedTensors states = make(batch_);
  tell(states, 0);
  return states;
}

template <class S>
void Carried<S>::restore(NamedTensors states) {
  if (states.empty()) return clear();
  Held before = nothing();
  swap(before);
  try {
    const size_t axis = row_axis(states.front().name, states.front().tensor.shape);
    hold(states.front().tensor.shape[axis]);
    check(states, batch_);
    begin_from(states, 0);
  } catch (...) {
    swap(before);
    throw;
  }
}

template class Carried<float>;
template class Carried<double>;

}  // namespace lookback
