#include "backend/cpu/cell_recurrence.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tensors.h"
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

/// The masks of one batch row, inverted dropout's or zoneout's: the same numbers whatever the
/// batch, the tile and the thread.
template <class S>
void draw_mask_row(const DropoutKey& key, uint32_t site, const SequenceInput& mask,
                   const RowOrigin& origin, int64_t count, S* out) {
  const PhiloxKey stream = dropout_stream(key.seed, key.step, key.layer);
  const uint32_t threshold = dropout_threshold(mask.rate);
  const S passed = mask.zoneout ? S(1) : static_cast<S>(1 / (1 - mask.rate));
  const int64_t begin = mask.constant ? 0 : origin.step * mask.slot.size, end = begin + count;
  for (int64_t i = begin / 4 * 4; i < end; i += 4) {
    const PhiloxBlock bits = dropout_block(stream, site, static_cast<uint32_t>(origin.row),
                                           static_cast<uint64_t>(i / 4));
    for (int64_t j = std::max(i, begin); j < std::min(i + 4, end); ++j) {
      const S factor = dropout_factor(bits.word[j - i], threshold, passed);
      out[j - begin] = mask.zoneout ? S(1) - factor : factor;
    }
  }
}

int max_features(const Declaration& d) {
  int features = 0;
  for (const BatchSiteInfo& site : d.sites) features = std::max(features, site.features);
  return features;
}

}  // namespace

template <class S>
size_t CellTape<S>::bytes() const {
  int64_t numbers = storage.size() + active.size() + partials.size() + totals.size();
  for (const auto& a : site_moments) numbers += a.size();
  for (const auto& a : scratch) numbers += a.size();
  for (const auto& a : dW) numbers += a.size();
  for (const auto& a : db) numbers += a.size();
  for (const auto& a : drawn_masks) numbers += static_cast<int64_t>(a.size());
  return static_cast<size_t>(numbers) * sizeof(S);
}

template <class S>
CellRecurrence<S>::CellRecurrence(CpuRuntime& runtime, const DriverTable<S>& kernels,
                                  const Spec& spec, CellInstance cell)
    : runtime_(runtime),
      kernels_(kernels),
      cell_(std::move(cell)),
      derived_(cell_.declaration),
      weights_(cell_.declaration, kernels),
      vectors_(cell_.declaration) {
  describe(spec);
}

template <class S>
void CellRecurrence<S>::describe(const Spec&) {
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
std::vector<TensorInfo> CellRecurrence<S>::outputs(int64_t batch, int64_t steps) const {
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
std::vector<TensorInfo> CellRecurrence<S>::derived() const {
  std::vector<TensorInfo> list;
  for (const DerivedInfo& d : cell_.declaration.derivations)
    if (d.used) list.push_back({d.name, {d.shape.begin(), d.shape.end()}, false});
  return list;
}

template <class S>
std::vector<TensorInfo> CellRecurrence<S>::saved(int64_t batch, int64_t steps) const {
  std::vector<TensorInfo> list;
  for (const SavedInfo& s : cell_.declaration.saved) {
    std::vector<int64_t> shape{batch, steps};
    shape.insert(shape.end(), s.shape.begin(), s.shape.end());
    list.push_back({s.name, std::move(shape), false});
  }
  return list;
}

template <class S>
void CellRecurrence<S>::read_saved(const Tape& tape, const Tensors<S>& to) const {
  const auto& t = static_cast<const CellTape<S>&>(tape);
  REQUIRE(t.filled, kState, "what a forward pass has saved can be read before backward");
  const int64_t rows = kernels_.tile_rows;
  for (const SavedInfo& s : cell_.declaration.saved) {
    const auto wanted = to.find(s.name);
    if (wanted == to.end()) continue;
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    const int64_t units = wanted->second.size() / (t.batch * t.steps);
    S* out = wanted->second.data;
    for (int64_t b = 0; b < t.batch; ++b) {
      const S* tile = t.args.storage + b / rows * t.args.tile_stride + place.offset + b % rows;
      const int64_t length = t.args.lengths == nullptr ? t.steps : t.args.lengths[b];
      for (int64_t step = 0; step < t.steps; ++step) {
        const int64_t column = (step + place.history) % place.depth * place.size + s.begin;
        for (int64_t j = 0; j < units; ++j)
          *out++ = step < length ? tile[(column + j) * rows] : S(0);
      }
    }
  }
}

template <class S>
Multiply CellRecurrence<S>::multiply() const {
  return [this](const Gemm<double>& g) { cpu_gemm(g, runtime_.pool); };
}

template <class S>
std::vector<std::string> CellRecurrence<S>::differentiable_inputs() const {
  std::vector<std::string> names = {"x"};
  for (const StateInfo& s : cell_.declaration.states) names.push_back(s.in);
  return names;
}

template <class S>
std::string CellRecurrence<S>::couples_rows(bool training) const {
  return training && !cell_.declaration.sites.empty()
             ? "batch statistics, in which rows meet: use layer norm or none"
             : "";
}

template <class S>
std::unique_ptr<Tape> CellRecurrence<S>::make_tape(int64_t batch, int64_t steps, bool keep) {
  REQUIRE(batch > 0 && steps > 0, kShape, "batch ", batch, " and steps ", steps,
          " must be at least 1");
  const Declaration& d = cell_.declaration;
  auto t = std::make_unique<CellTape<S>>();
  t->batch = batch;
  t->steps = steps;
  t->keep = keep;
  t->plan = plan_storage(d, batch, steps, keep, kernels_.tile_rows);
  t->storage = AlignedArray<S>(checked_mul(t->plan.tile_stride, t->plan.tiles, "activations"));
  t->active = AlignedArray<S>(int64_t{t->plan.tiles} * kernels_.tile_rows);
  if (!d.sites.empty()) {
    // Per-tile sums: two numbers per feature and the row count, each tile on cache lines of its
    // own.
    int64_t offset = 2 * max_features(d) + 1;
    for (const BatchSiteInfo& site : d.sites) {
      BatchSiteState<S> state;
      state.features = site.features;
      state.stat_rows = stat_rows(site);
      state.pooled = site.pooled;
      state.total_offset = offset;
      offset += (site.pooled ? 4 : 2) * site.features;
      t->site_moments.emplace_back(checked_mul(steps, 2 * site.features, "batch statistics"));
      state.moments = t->site_moments.back().data();
      t->sites.push_back(state);
    }
    t->partial_stride = (offset + 15) / 16 * 16;
    t->partials =
        AlignedArray<S>(checked_mul(2 * t->partial_stride, t->plan.tiles, "batch statistics"));
    t->totals = AlignedArray<S>(t->partial_stride * runtime_.pool.threads());
  }
  if (keep) {
    for (size_t i = 0; i < d.linears.size(); ++i) {
      t->dW.emplace_back(d.linears[i].rows * weights_.depth(static_cast<int>(i)));
      t->db.emplace_back(d.linears[i].rows);
    }
    for (int worker = 0; worker < runtime_.pool.threads(); ++worker) {
      t->scratch.emplace_back(kernels_.gradient_scratch);
    }
  }
  return t;
}

template <class S>
void CellRecurrence<S>::bind_sequence(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.args;
  a = SequenceArgs<S>();
  a.batch = t.batch;
  a.steps = static_cast<int>(t.steps);
  a.tiles = t.plan.tiles;
  a.training = call.training;
  a.keep = t.keep;
  a.coupled = call.training && !d.sites.empty();
  a.workers =
      a.coupled && !kernels_.couples_workers ? 1 : std::min(runtime_.pool.threads(), t.plan.tiles);
  a.storage = t.storage.data();
  a.tile_stride = t.plan.tile_stride;
  a.slots = t.plan.slots.data();
  a.slot_count = static_cast<int>(t.plan.slots.size());
  a.linears = weights_.linears();
  a.vectors = vectors_.data();
  a.active = t.active.data();
  a.x = find(call.inputs, "x", {t.batch, t.steps, info_.input_size});
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
  a.mask = find(call.inputs, "mask", {t.batch, t.steps});
}

template <class S>
void CellRecurrence<S>::bind_states(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.args;
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
      const std::vector<int64_t> shape{s.entries, t.batch, s.value.size};
      place.initial = find(call.inputs, s.in, shape);
    } else if (it != call.inputs.end()) {
      place.shared = place.repeated = false;
      std::vector<int64_t> shape{t.batch, s.value.size};
      if (s.queue) {
        const int64_t given = it->second.shape.empty() ? 0 : it->second.shape.front();
        REQUIRE(given >= 1 && given <= s.entries, kShape, "input ", s.in, " holds ", given,
                " entries; expected 1 to ", s.entries);
        shape.insert(shape.begin(), given);
        place.given = static_cast<int>(given);
        a.initial_entries = std::max(a.initial_entries, place.given);
      }
      place.initial = find(call.inputs, s.in, shape);
      a.default_start = false;
    }
    place.final = find_out(call.outputs, s.out);
  }
}

/// Philox numbers of a state's noise: beyond those of masks.
constexpr uint32_t kNoiseSite = 1 << 16;

/// In training a row of a state may start from what it starts from plus Gaussian noise of its own.
template <class S>
void CellRecurrence<S>::add_noise(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  t.noisy.resize(d.states.size());
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (d.states[i].noise <= 0 || !call.training || call.dropout == nullptr) continue;
    StatePlace<S>& place = t.args.state[i];
    const int64_t size = place.size;
    const uint32_t site = kNoiseSite + static_cast<uint32_t>(i);
    std::vector<S>& noisy = t.noisy[i];
    noisy.resize(static_cast<size_t>(t.batch * size));
    const PhiloxKey stream =
        dropout_stream(call.dropout->seed, call.dropout->step, call.dropout->layer);
    for (int64_t b = 0; b < t.batch; ++b) {
      const RowOrigin origin = call.origins != nullptr ? call.origins[b] : RowOrigin{b, 0};
      for (int64_t j = 0; j < size; ++j) {
        const PhiloxBlock bits = dropout_block(stream, site, static_cast<uint32_t>(origin.row),
                                               static_cast<uint64_t>(origin.step * size + j));
        const double radius = std::sqrt(-2 * std::log((bits.word[0] + 0.5) / 4294967296.0));
        const double angle = 2 * 3.14159265358979323846 * (bits.word[1] / 4294967296.0);
        const int64_t from = place.repeated ? j : b * size + j;
        const S start = place.initial != nullptr ? place.initial[from] : S(0);
        noisy[static_cast<size_t>(b * size + j)] =
            start + static_cast<S>(d.states[i].noise * radius * std::cos(angle));
      }
    }
    place.initial = noisy.data();
    place.repeated = false;
  }
}

/// A tape has room for one initial entry of a queue until a caller gives more.
template <class S>
void CellRecurrence<S>::ensure_entries(CellTape<S>& t) {
  if (t.args.initial_entries <= t.entries) return;
  const int entries = t.args.initial_entries;
  t.entries = 0;  // until the new storage is there: a call that runs out of memory may come again
  t.storage = AlignedArray<S>();  // two at a time could be more than the machine has
  t.plan = plan_storage(cell_.declaration, t.batch, t.steps, t.keep, kernels_.tile_rows, entries);
  t.storage = AlignedArray<S>(checked_mul(t.plan.tile_stride, t.plan.tiles, "activations"));
  t.entries = entries;
  t.args.storage = t.storage.data();
  t.args.tile_stride = t.plan.tile_stride;
  t.args.slots = t.plan.slots.data();
}

template <class S>
void CellRecurrence<S>::bind_masks(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.args;
  a.sequences = static_cast<int>(d.sequences.size());
  a.input_mask = d.input_mask;
  t.drawn_masks.resize(d.sequences.size());
  for (size_t i = 0; i < d.sequences.size(); ++i) {
    const SequenceInput& s = d.sequences[i];
    SequencePlace<S>& place = a.sequence[i];
    place.slot = s.slot.id;
    place.size = s.slot.size;
    place.data = find(call.inputs, s.name, {t.batch, t.steps, s.slot.size});
    place.step_stride = s.slot.size;
    place.row_stride = t.steps * s.slot.size;
    // Where nothing is drawn, zoneout keeps the share that it keeps on average.
    place.rest = s.zoneout ? static_cast<S>(s.rate) : S(1);
    if (place.data != nullptr || s.rate <= 0 || !call.training || call.dropout == nullptr) continue;
    const DropoutKey key = *call.dropout;
    if (s.constant) place.step_stride = 0;
    const int64_t width = s.constant ? s.slot.size : place.row_stride;
    place.row_stride = width;
    std::vector<S>& mask = t.drawn_masks[i];
    mask.resize(static_cast<size_t>(t.batch * width));
    const int workers = runtime_.pool.threads();
    runtime_.pool.run([&](int worker) {
      for (int64_t b = worker; b < t.batch; b += workers) {
        const RowOrigin origin = call.origins != nullptr ? call.origins[b] : RowOrigin{b, 0};
        draw_mask_row(key, static_cast<uint32_t>(i + 1), s, origin, width, mask.data() + b * width);
      }
    });
    place.data = mask.data();
  }
  // A state that is not zoned out is left alone.
  for (int i = 0; i < a.states; ++i) {
    if (a.state[i].zoneout < 0) continue;
    const SequencePlace<S>& keep = a.sequence[a.state[i].zoneout];
    if (keep.data == nullptr && keep.rest == S(0)) a.state[i].zoneout = -1;
  }
}

template <class S>
void CellRecurrence<S>::run_loop(CellTape<S>& t, bool backward) {
  Barrier barrier(t.args.workers);
  t.args.cancel = runtime_.cancel;  // of this job: the forward pass may have belonged to another
  t.args.barrier = t.args.coupled && t.args.workers > 1 ? &barrier : nullptr;
  const CellLoops<S>& loops = kernels_.cells[cell_.index];
  const auto loop = backward ? loops.backward : loops.forward;
  runtime_.pool.run([&](int worker) {
    if (worker < t.args.workers) loop(t.args, cell_.cell.get(), worker);
  });
  t.args.barrier = nullptr;
  REQUIRE(runtime_.cancel == nullptr || !runtime_.cancel->load(), kAborted,
          "the job was cancelled");
}

/// Everything that the time loop reads in place of the weights.
template <class S>
void CellRecurrence<S>::prepare(const ForwardCall<S>& call) {
  if (call.version != 0 && call.version == version_) return;
  version_ = 0;  // should this fail
  derived_.build(call, multiply());
  weights_.pack(derived_.weights());
  vectors_.prepare(derived_.weights());
  version_ = call.version;
}

template <class S>
void CellRecurrence<S>::forward(const ForwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<CellTape<S>&>(tape);
  REQUIRE(call.batch == t.batch && call.steps == t.steps, kInternal,
          "the tape was made for another shape");
  for (int64_t b = 0; call.lengths != nullptr && b < t.batch; ++b) {
    REQUIRE(call.lengths[b] >= 0 && call.lengths[b] <= t.steps, kShape, "lengths[", b, "] is ",
            call.lengths[b], "; expected 0 to ", t.steps);
  }
  require_statistics(call);
  prepare(call);
  bind_sequence(call, t);
  bind_states(call, t);
  add_noise(call, t);
  ensure_entries(t);
  bind_masks(call, t);
  bind_statistics(call, t);
  t.filled = false;
  run_loop(t, false);
  show_statistics(call, t);
  t.filled = t.keep;
}

template <class S>
void CellRecurrence<S>::backward(const BackwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<CellTape<S>&>(tape);
  REQUIRE(t.filled, kState, "backward needs the tape of a forward pass, once");
  t.filled = false;
  SequenceArgs<S>& a = t.args;
  const Declaration& d = cell_.declaration;
  a.dy = find(call.upstream, "y", {t.batch, t.steps, info_.output_size});
  a.dy_last = find(call.upstream, "y_last", {t.batch, info_.output_size});
  a.dx = find_out(call.d_inputs, "x");
  for (size_t i = 0; i < d.states.size(); ++i) {
    std::vector<int64_t> shape{t.batch, d.states[i].value.size};
    if (d.states[i].queue) shape.insert(shape.begin(), d.states[i].entries);
    a.state[i].d_final = find(call.upstream, d.states[i].out, shape);
    a.state[i].d_initial = find_out(call.d_inputs, d.states[i].in);
    if (!a.state[i].shared) continue;
    t.d_initial.resize(d.states.size());
    t.d_initial[i].assign(static_cast<size_t>(t.batch * d.states[i].value.size), S(0));
    a.state[i].d_initial = t.d_initial[i].data();
  }
  weights_.pack_adjoints(derived_.weights(), a.dx != nullptr);
  for (const SumInfo& s : d.sums) {
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    for (int tile = 0; tile < t.plan.tiles; ++tile) {
      std::fill_n(a.storage + tile * a.tile_stride + place.offset,
                  int64_t{place.size} * kernels_.tile_rows, S(0));
    }
  }
  run_loop(t, true);
  const std::vector<S*>& d_weights = derived_.begin_gradients(call.d_params);
  weight_gradients(d_weights, t);
  sum_gradients(d_weights, t);
  initial_gradients(call.d_params, t);
  derived_.finish_gradients(call, multiply());
}

/// Of parameters that every row starts from: the sum over the rows.
template <class S>
void CellRecurrence<S>::initial_gradients(const std::vector<S*>& d_params, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (!t.args.state[i].shared) continue;
    S* const to = d_params[static_cast<size_t>(d.states[i].param)];
    const int64_t size = d.states[i].value.size;
    for (int64_t j = 0; to != nullptr && j < size; ++j) {
      S sum(0);  // of its own, so that what is there already does not change its roundings
      for (int64_t b = 0; b < t.batch; ++b)
        sum += t.d_initial[i][static_cast<size_t>(b * size + j)];
      to[j] += sum;
    }
  }
}

template <class S>
std::vector<int> CellRecurrence<S>::settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                                           bool first) {
  return derived_.settle(params, buffers, first, multiply());
}

template <class S>
void CellRecurrence<S>::weight_gradients(const std::vector<S*>& d_weights, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  const int workers = runtime_.pool.threads();
  runtime_.pool.run([&](int worker) {
    for (size_t i = 0; i < d.linears.size(); ++i) {
      WeightGradient<S> g;
      g.linear = static_cast<int>(i);
      g.first_step = d.linears[i].from_initial ? -t.args.initial_entries : 0;
      // Ranges begin at multiples of the register block of every instruction set.
      const int blocks = (d.linears[i].rows + 11) / 12;
      g.row_begin = std::min(d.linears[i].rows, blocks * worker / workers * 12);
      g.row_end = std::min(d.linears[i].rows, blocks * (worker + 1) / workers * 12);
      g.dW = t.dW[i].data();
      g.db = d.linears[i].biases.empty() ? nullptr : t.db[i].data();
      g.scratch = t.scratch[static_cast<size_t>(worker)].data();
      if (g.row_begin < g.row_end) kernels_.weight_gradient(t.args, g);
    }
  });
  for (size_t i = 0; i < d.linears.size(); ++i) {
    weights_.scatter(static_cast<int>(i), t.dW[i].data(), t.db[i].data(), d_weights);
  }
}

template <class S>
void CellRecurrence<S>::sum_gradients(const std::vector<S*>& d_weights, CellTape<S>& t) {
  const int rows = kernels_.tile_rows;
  for (const SumInfo& s : cell_.declaration.sums) {
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    t.sum.assign(static_cast<size_t>(place.size), S(0));
    for (int tile = 0; tile < t.plan.tiles; ++tile) {
      const S* from = t.args.storage + tile * t.args.tile_stride + place.offset;
      const int64_t real = std::min<int64_t>(rows, t.batch - int64_t{tile} * rows);
      for (int j = 0; j < place.size; ++j) {
        for (int64_t row = 0; row < real; ++row)
          t.sum[static_cast<size_t>(j)] += from[int64_t{j} * rows + row];
      }
    }
    vectors_.add_gradient(s.vector, t.sum.data(), d_weights);
  }
}

template class CellTape<float>;
template class CellTape<double>;
template class CellRecurrence<float>;
template class CellRecurrence<double>;

}  // namespace lookback
