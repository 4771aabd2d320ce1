#include "backend/cell_host.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "backend/tensors.h"
#include "base/error.h"
#include "base/rng.h"

namespace lookback {
namespace {

Initializer initializer_of(const Start& start) {
  Initializer init;
  init.kind = static_cast<Initializer::Kind>(start.kind);  // one list, twice
  init.value = start.value;
  init.fill = start.fill;
  if (start.constant_end > start.constant_begin) {
    init.rows.push_back({start.constant_begin, start.constant_end, start.constant});
  }
  return init;
}

/// Philox numbers of a state's noise: beyond those of masks.
constexpr uint32_t kNoiseSite = 1 << 16;

}  // namespace

template <class S>
CellHost<S>::CellHost(CellInstance cell) : cell_(std::move(cell)), derived_(cell_.declaration) {
  describe();
}

template <class S>
void CellHost<S>::describe() {
  const Declaration& d = cell_.declaration;
  info_.kind = cell_.key;
  info_.input_size = d.x.size;
  info_.output_size = d.y.size;
  for (const CellParam& p : d.params) {
    info_.params.push_back(
        {p.name, {p.shape.begin(), p.shape.end()}, initializer_of(p.start), p.fixed});
  }
  std::set<std::string> seen;
  for (const BatchSiteInfo& site : d.sites) {
    if (!seen.insert(site.name).second) continue;
    info_.buffers.push_back({"buf." + site.name + ".mean", stat_shape(site), 0});
    info_.buffers.push_back({"buf." + site.name + ".var", stat_shape(site), 1});
  }
  for (BufferInfo& buffer : derived_.buffers()) info_.buffers.push_back(std::move(buffer));
}

template <class S>
std::vector<LoopPlan> CellHost<S>::explain(const PlanCall& call) const {
  REQUIRE(call.batch > 0 && call.steps > 0, kShape, "batch ", call.batch, " and steps ", call.steps,
          " must be at least 1");
  return {call.gpu ? plan_on_gpu(cell_.declaration, call, *call.gpu, sizeof(S)) : plan_here(call)};
}

template <class S>
std::vector<TensorInfo> CellHost<S>::outputs(int64_t batch, int64_t steps) const {
  std::vector<TensorInfo> out = {{"y", {batch, steps, info_.output_size}}};
  for (const StateInfo& s : cell_.declaration.states) {
    std::vector<int64_t> shape{batch, s.value.size};
    if (s.queue) shape.insert(shape.begin(), s.entries);
    out.push_back({s.out, shape});
  }
  for (const DerivedInfo& d : cell_.declaration.derivations)
    out.push_back({d.name, {d.shape.begin(), d.shape.end()}, false});
  for (const BufferInfo& b : info_.buffers) out.push_back({b.name, b.shape, false});
  for (const BatchSiteInfo& site : cell_.declaration.sites) {
    if (!cell_.declaration.shows_statistics) break;
    for (const char* part : {"mean_", "var_"})
      out.push_back({part + site.name, {site.pooled ? 1 : steps, site.features}, false});
  }
  return out;
}

template <class S>
std::vector<TensorInfo> CellHost<S>::derived() const {
  std::vector<TensorInfo> list;
  for (const DerivedInfo& d : cell_.declaration.derivations)
    if (d.used) list.push_back({d.name, {d.shape.begin(), d.shape.end()}, false});
  return list;
}

template <class S>
std::vector<std::string> CellHost<S>::differentiable_inputs() const {
  std::vector<std::string> names = {"x"};
  for (const StateInfo& s : cell_.declaration.states) names.push_back(s.in);
  return names;
}

template <class S>
std::string CellHost<S>::couples_rows(bool training) const {
  return training && !cell_.declaration.sites.empty()
             ? "batch statistics, in which rows meet: use layer norm or none"
             : "";
}

template <class S>
void CellHost<S>::bind_sequence(const ForwardCall<S>& call, SequenceArgs<S>& a) const {
  const Declaration& d = cell_.declaration;
  a = SequenceArgs<S>();
  a.batch = call.batch;
  a.steps = static_cast<int>(call.steps);
  a.training = call.training;
  a.coupled = call.training && !d.sites.empty();
  a.x = find(call.inputs, "x", {call.batch, call.steps, info_.input_size});
  REQUIRE(a.x != nullptr, kShape, "input x is missing");
  a.y = find_out(call.outputs, "y");
  a.y_last = find_out(call.outputs, "y_last");
  a.x_slot = d.x.id;
  a.dx_slot = d.dx.id;
  a.y_slot = d.y.id;
  a.dy_slot = d.dy.id;
  a.input_size = info_.input_size;
  a.output_size = info_.output_size;
  a.lengths = call.lengths;
  a.mask = find(call.inputs, "mask", {call.batch, call.steps});
}

template <class S>
void CellHost<S>::bind_states(const ForwardCall<S>& call, SequenceArgs<S>& a) const {
  const Declaration& d = cell_.declaration;
  a.states = static_cast<int>(d.states.size());
  a.initial_entries = 1;
  for (size_t i = 0; i < d.states.size(); ++i) {
    const StateInfo& s = d.states[i];
    StatePlace<S>& place = a.state[i];
    place.slot = s.value.id;
    place.gradient = s.gradient.id;
    place.entries = s.entries;
    place.size = s.value.size;
    place.past = s.past.id;
    place.d_past = s.d_past.id;
    place.zoneout = s.zoneout;
    place.given = 1;
    if (s.param >= 0) {
      place.initial = call.params[static_cast<size_t>(s.param)];
      place.shared = place.repeated = true;
    }
    const auto it = call.inputs.find(s.in);
    if (s.past.id >= 0) {
      place.initial = find(call.inputs, s.in, {s.entries, call.batch, s.value.size});
    } else if (it != call.inputs.end()) {
      place.shared = place.repeated = false;
      if (s.queue) {
        const int64_t given = it->second.shape.empty() ? 0 : it->second.shape.front();
        REQUIRE(given >= 1 && given <= s.entries, kShape, "input ", s.in, " holds ", given,
                " entries; expected 1 to ", s.entries);
        place.given = static_cast<int>(given);
        a.initial_entries = std::max(a.initial_entries, place.given);
        place.initial = find(call.inputs, s.in, {given, call.batch, s.value.size});
        a.default_start = false;
      } else {
        place.initial = find(call.inputs, s.in, {call.batch, s.value.size});
      }
    }
    place.final = find_out(call.outputs, s.out);
  }
}

template <class S>
std::vector<TensorInfo> CellHost<S>::saved(int64_t batch, int64_t steps) const {
  std::vector<TensorInfo> list;
  for (const SavedInfo& s : cell_.declaration.saved) {
    std::vector<int64_t> shape{batch, steps};
    shape.insert(shape.end(), s.shape.begin(), s.shape.end());
    list.push_back({s.name, std::move(shape), false});
  }
  return list;
}

template <class S>
bool CellHost<S>::is_noisy(const ForwardCall<S>& call, size_t state) const {
  return cell_.declaration.states[state].noise > 0 && call.training && call.dropout != nullptr;
}

template <class S>
std::vector<S> CellHost<S>::noise_of(const ForwardCall<S>& call, size_t state) const {
  const StateInfo& info = cell_.declaration.states[state];
  const int64_t size = info.value.size;
  const uint32_t site = kNoiseSite + static_cast<uint32_t>(state);
  const PhiloxKey stream =
      dropout_stream(call.dropout->seed, call.dropout->step, call.dropout->layer);
  std::vector<S> noise;
  for (int64_t b = 0; b < call.batch; ++b) {
    const RowOrigin origin = call.origins != nullptr ? call.origins[b] : RowOrigin{b, 0};
    for (int64_t j = 0; j < size; ++j) {
      const PhiloxBlock bits = dropout_block(stream, site, static_cast<uint32_t>(origin.row),
                                             static_cast<uint64_t>(origin.step * size + j));
      const double radius = std::sqrt(-2 * std::log((bits.word[0] + 0.5) / 4294967296.0));
      const double angle = 2 * 3.14159265358979323846 * (bits.word[1] / 4294967296.0);
      noise.push_back(static_cast<S>(info.noise * radius * std::cos(angle)));
    }
  }
  return noise;
}

template <class S>
void CellHost<S>::bind_masks(const ForwardCall<S>& call, SequenceArgs<S>& a) const {
  const Declaration& d = cell_.declaration;
  a.sequences = static_cast<int>(d.sequences.size());
  a.input_mask = d.input_mask;
  for (size_t i = 0; i < d.sequences.size(); ++i) {
    const SequenceInput& s = d.sequences[i];
    SequencePlace<S>& place = a.sequence[i];
    place.slot = s.slot.id;
    place.size = s.slot.size;
    place.data = find(call.inputs, s.name, {call.batch, call.steps, s.slot.size});
    place.step_stride = s.slot.size;
    place.row_stride = call.steps * s.slot.size;
    // Where nothing is drawn, zoneout keeps the share that it keeps on average.
    place.rest = s.zoneout ? static_cast<S>(s.rate) : S(1);
  }
}

template <class S>
bool CellHost<S>::is_drawn(const ForwardCall<S>& call, const SequenceArgs<S>& a,
                           int sequence) const {
  const SequenceInput& s = cell_.declaration.sequences[static_cast<size_t>(sequence)];
  return a.sequence[sequence].data == nullptr && s.rate > 0 && call.training &&
         call.dropout != nullptr;
}

template <class S>
int64_t CellHost<S>::row_of_mask(SequenceArgs<S>& a, int sequence) const {
  const SequenceInput& s = cell_.declaration.sequences[static_cast<size_t>(sequence)];
  SequencePlace<S>& place = a.sequence[sequence];
  if (s.constant) {
    place.step_stride = 0;
    place.row_stride = s.slot.size;
  }
  return place.row_stride;
}

template <class S>
void CellHost<S>::drop_idle_zoneout(SequenceArgs<S>& a) const {
  for (int i = 0; i < a.states; ++i) {
    if (a.state[i].zoneout < 0) continue;
    const SequencePlace<S>& keep = a.sequence[a.state[i].zoneout];
    if (keep.data == nullptr && keep.rest == S(0)) a.state[i].zoneout = -1;
  }
}

template <class S>
void CellHost<S>::bind_upstream(const BackwardCall<S>& call, SequenceArgs<S>& a) const {
  const Declaration& d = cell_.declaration;
  a.dy = find(call.upstream, "y", {a.batch, a.steps, info_.output_size});
  a.dy_last = find(call.upstream, "y_last", {a.batch, info_.output_size});
  a.dx = find_out(call.d_inputs, "x");
  for (size_t i = 0; i < d.states.size(); ++i) {
    const StateInfo& s = d.states[i];
    a.state[i].d_final = find(
        call.upstream, s.out,
        s.queue ? SmallShape{s.entries, a.batch, s.value.size} : SmallShape{a.batch, s.value.size});
    a.state[i].d_initial = find_out(call.d_inputs, d.states[i].in);
  }
}

template <class S>
std::vector<int64_t> CellHost<S>::active_rows(const int32_t* lengths, int64_t batch,
                                              int64_t steps) const {
  std::vector<int64_t> rows(static_cast<size_t>(steps), lengths != nullptr ? 0 : batch);
  for (int64_t b = 0; lengths != nullptr && b < batch; ++b) {
    for (int s = 0; s < lengths[b]; ++s) ++rows[static_cast<size_t>(s)];
  }
  return rows;
}

template <class S>
void CellHost<S>::require_call(const ForwardCall<S>& call) const {
  for (int64_t b = 0; call.lengths != nullptr && b < call.batch; ++b) {
    REQUIRE(call.lengths[b] >= 0 && call.lengths[b] <= call.steps, kShape, "lengths[", b, "] is ",
            call.lengths[b], "; expected 0 to ", call.steps);
  }
  require_statistics(call);
}

template <class S>
int CellHost<S>::stat_rows(const BatchSiteInfo& site) const {
  return site.rows > 0 ? site.rows : std::max(1, cell_.declaration.batch_rows);
}

template <class S>
std::vector<int64_t> CellHost<S>::stat_shape(const BatchSiteInfo& site) const {
  if (site.rows == 0 && cell_.declaration.batch_rows == 0) return {site.features};
  return {stat_rows(site), site.features};
}

/// What batch statistics cannot do.
template <class S>
void CellHost<S>::require_statistics(const ForwardCall<S>& call) const {
  const Declaration& d = cell_.declaration;
  if (!call.training) return;
  REQUIRE(!d.needs_batch || call.batch > 1, kShape, cell_.key,
          ": training on a batch of 1 row is not possible, since a row is its own mean; use two "
          "or more, or leave out the last, smaller batch");
  const bool pooled = std::any_of(d.sites.begin(), d.sites.end(),
                                  [](const BatchSiteInfo& site) { return site.pooled; });
  REQUIRE(!pooled || call.lengths == nullptr, kOption, cell_.key,
          ": inputStats 'sequence' takes its statistics over whole sequences and cannot train with "
          "lengths; use 'perStep', or sequences of one length");
}

template class CellHost<float>;
template class CellHost<double>;

}  // namespace lookback
