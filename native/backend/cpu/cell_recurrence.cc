#include "backend/cpu/cell_recurrence.h"

#include <algorithm>
#include <functional>

#include "backend/cpu/cancel.h"
#include "backend/masks.h"
#include "backend/tensors.h"
#include "base/error.h"
#include "base/rng.h"

namespace lookback {
namespace {

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
  for (const auto& a : drawn_masks) numbers += static_cast<int64_t>(a.size());
  return static_cast<size_t>(numbers) * sizeof(S);
}

template <class S>
CellRecurrence<S>::CellRecurrence(CpuRuntime& runtime, const DriverTable<S>& kernels,
                                  CellInstance cell)
    : CellHost<S>(std::move(cell)),
      runtime_(runtime),
      kernels_(kernels),
      packing_{{cell_.declaration, {std::begin(kernels.blocks), std::end(kernels.blocks)}}},
      vectors_(cell_.declaration) {
  for (const BatchSiteInfo& site : cell_.declaration.sites)
    statistics_.emplace_back("buf." + site.name + ".mean", "buf." + site.name + ".var");
}

template <class S>
void CellRecurrence<S>::read_saved(const Tape& tape, const Tensors<S>& to) const {
  const auto& t = static_cast<const CellTape<S>&>(tape);
  REQUIRE(t.filled, kState, "what a forward pass has saved can be read before backward");
  const int64_t rows = t.rows;
  for (const SavedInfo& s : cell_.declaration.saved) {
    const auto wanted = to.find(s.name);
    if (wanted == to.end()) continue;
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    const int64_t units = wanted->second.size() / (t.batch * t.steps);
    const int64_t size = rows == 1 ? row_column(place.size) : place.size;
    S* out = wanted->second.data;
    for (int64_t b = 0; b < t.batch; ++b) {
      const S* tile = t.args.storage + b / rows * t.args.tile_stride + place.offset + b % rows;
      const int64_t length = t.args.lengths == nullptr ? t.steps : t.args.lengths[b];
      for (int64_t step = 0; step < t.steps; ++step) {
        const int64_t column = (step + place.history) % place.depth * size + s.begin;
        for (int64_t j = 0; j < units; ++j)
          *out++ = step < length ? tile[(column + j) * rows] : S(0);
      }
    }
  }
}

template <class S>
Multiply CellRecurrence<S>::multiply() const {
  return [this](const Gemm<double>& g) { gemm_in_parts(g, runtime_); };
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
  t->rows = rows_of_tile(batch);
  t->plan = plan_storage(d, batch, steps, keep, t->rows);
  t->storage = AlignedArray<S>(checked_mul(t->plan.tile_stride, t->plan.tiles, "activations"));
  t->active = AlignedArray<S>(int64_t{t->plan.tiles} * t->rows);
  if (!d.sites.empty()) {
    // Per-tile sums: two numbers per feature and the row count, each tile on cache lines of its
    // own.
    int64_t offset = 2 * max_features(d) + 1;
    for (const BatchSiteInfo& site : d.sites) {
      BatchSiteState<S> state;
      state.features = site.features;
      state.stat_rows = this->stat_rows(site);
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
    int64_t scratch = 0;
    for (size_t i = 0; i < d.linears.size(); ++i) {
      const int64_t units = gradient_units(d.linears[i]), numbers = d.linears[i].rows * units;
      const bool apart = t->plan.is_recent(static_cast<int>(i));
      t->dW.emplace_back(checked_mul(numbers, apart ? t->plan.tiles : 1, "gradients"));
      scratch = std::max(scratch, kernels_.gradient_scratch(static_cast<int>(units)));
    }
    if (t->rows == 1) scratch = kernels_.gemm_scratch;
    for (int worker = 0; worker < runtime_.pool.threads(); ++worker)
      t->scratch.emplace_back(scratch);
  }
  return t;
}

/// A few rows go one by one, where the cell has loops for that.
template <class S>
int CellRecurrence<S>::rows_of_tile(int64_t batch) const {
  const bool alone =
      batch <= kernels_.few_rows && kernels_.cells[cell_.index].row_forward != nullptr;
  return alone ? 1 : kernels_.cells[cell_.index].tile_rows;
}

/// Threads that take part in a loop over that many tiles.
template <class S>
int CellRecurrence<S>::workers_for(int tiles, bool coupled) const {
  return coupled && !kernels_.couples_workers ? 1 : std::min(runtime_.pool.threads(), tiles);
}

/// Threads that share each of few rows, where there are more threads than rows. They meet some
/// three times a step, which takes as long as ten thousand weights, and have to be woken, which
/// takes as long as some millions.
template <class S>
int CellRecurrence<S>::members_for(int64_t rows, int64_t steps) const {
  constexpr int64_t kWakingSteps = 256;
  int64_t weights = 0;
  for (const LinearInfo& l : cell_.declaration.linears)
    weights += l.rows * gradient_units(l) * l.repeat;
  const int64_t least = runtime_.member_weights;
  if (weights * steps < kWakingSteps * least) return 1;
  const int64_t most = std::min<int64_t>(runtime_.pool.threads() / rows, TeamBarrier::kMost);
  return static_cast<int>(std::max<int64_t>(1, std::min(most, weights / least)));
}

template <class S>
LoopPlan CellRecurrence<S>::plan_here(const PlanCall& call) const {
  const Declaration& d = cell_.declaration;
  const bool coupled = call.training && !d.sites.empty();
  const int rows = rows_of_tile(call.batch);
  const StoragePlan plan = plan_storage(d, call.batch, call.steps, call.training, rows);
  const int workers = workers_for(plan.tiles, coupled);
  const int members = rows == 1 ? members_for(call.batch, call.steps) : 1;
  const auto some = [](int64_t n, const char* what) {
    return text(n, " ", what, n == 1 ? "" : "s");
  };
  if (rows == 1) {
    return {
        "", "rows",
        text("rows: ", some(call.batch, "row"), " one by one on ",
             some(workers * members, "thread"),
             members > 1 ? text(", ", members, " of them to a row") : "", ", a lane to a unit; ",
             some(plan.tile_stride * static_cast<int64_t>(sizeof(S)), "byte"), " a row")};
  }
  return {"", "tiles",
          text("tiles: ", some(plan.tiles, "tile"), " of up to ",
               some(std::min<int64_t>(call.batch, rows), "row"), " on ", some(workers, "thread"),
               coupled && workers > 1 ? ", which meet at every batch norm"
                                      : ", each with its rows for the whole sequence",
               "; ", some(plan.tile_stride * static_cast<int64_t>(sizeof(S)), "byte"), " a tile")};
}

template <class S>
void CellRecurrence<S>::bind_tape(CellTape<S>& t, const PackedWeights<S>& weights) {
  SequenceArgs<S>& a = t.args;
  a.tiles = t.plan.tiles;
  a.tile_rows = t.rows;
  a.keep = t.keep;
  a.members = t.rows == 1 ? members_for(t.batch, t.steps) : 1;
  a.workers = workers_for(t.plan.tiles, a.coupled) * a.members;
  a.storage = t.storage.data();
  a.tile_stride = t.plan.tile_stride;
  a.slots = t.plan.slots.data();
  a.slot_count = static_cast<int>(t.plan.slots.size());
  a.linears = weights.linears();
  a.vectors = vectors_.data();
  a.active = t.active.data();
}

/// A tape has room for one initial entry of a queue until a caller gives more.
template <class S>
void CellRecurrence<S>::ensure_entries(CellTape<S>& t) {
  if (t.args.initial_entries <= t.entries) return;
  const int entries = t.args.initial_entries;
  t.entries = 0;  // until the new storage is there: a call that runs out of memory may come again
  t.storage = AlignedArray<S>();  // two at a time could be more than the machine has
  t.plan = plan_storage(cell_.declaration, t.batch, t.steps, t.keep, t.rows, entries);
  t.storage = AlignedArray<S>(checked_mul(t.plan.tile_stride, t.plan.tiles, "activations"));
  t.entries = entries;
  t.args.storage = t.storage.data();
  t.args.tile_stride = t.plan.tile_stride;
  t.args.slots = t.plan.slots.data();
}

template <class S>
void CellRecurrence<S>::draw_masks(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.args;
  this->bind_masks(call, a);
  t.drawn_masks.resize(d.sequences.size());
  for (size_t i = 0; i < d.sequences.size(); ++i) {
    const SequenceInput& s = d.sequences[i];
    if (!this->is_drawn(call, a, static_cast<int>(i))) continue;
    const PhiloxKey stream =
        dropout_stream(call.dropout->seed, call.dropout->step, call.dropout->layer);
    const int64_t width = this->row_of_mask(a, static_cast<int>(i));
    std::vector<S>& mask = t.drawn_masks[i];
    mask.resize(static_cast<size_t>(t.batch * width));
    const int workers = runtime_.pool.threads();
    runtime_.pool.run(workers, [&](int worker) {
      for (int64_t b = worker; b < t.batch; b += workers) {
        const RowOrigin origin = call.origins != nullptr ? call.origins[b] : RowOrigin{b, 0};
        const int64_t begin = s.constant ? 0 : origin.step * s.slot.size;
        const MaskRow row = {stream,
                             static_cast<uint32_t>(i + 1),
                             static_cast<uint32_t>(origin.row),
                             s.rate,
                             s.zoneout,
                             begin,
                             width};
        for (int64_t quad = 0; quad < row.quads(); ++quad) row.draw(quad, mask.data() + b * width);
      }
    });
    a.sequence[i].data = mask.data();
  }
  this->drop_idle_zoneout(a);
}

template <class S>
void CellRecurrence<S>::run_loop(CellTape<S>& t, bool backward) {
  Barrier barrier(t.args.workers);
  TeamBarrier teams[kFewRows];
  t.args.cancel = runtime_.cancel;  // of this job: the forward pass may have belonged to another
  t.args.barrier = t.args.coupled && t.args.workers > 1 ? &barrier : nullptr;
  t.args.teams = teams;
  const CellLoops<S>& loops = kernels_.cells[cell_.index];
  const bool alone = t.rows == 1;
  const auto loop = backward ? (alone ? loops.row_backward : loops.backward)
                             : (alone ? loops.row_forward : loops.forward);
  runtime_.pool.run(t.args.workers, [&](int worker) { loop(t.args, cell_.cell.get(), worker); });
  t.args.barrier = nullptr;
  t.args.teams = nullptr;
  require_running(runtime_);
}

/// In training a row of a state may start from what it starts from plus noise of its own.
template <class S>
void CellRecurrence<S>::add_noise(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  t.noisy.resize(d.states.size());
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (!this->is_noisy(call, i)) continue;
    StatePlace<S>& place = t.args.state[i];
    const int64_t size = place.size;
    std::vector<S> noisy = this->noise_of(call, i);
    for (int64_t k = 0; place.initial != nullptr && k < t.batch * size; ++k)
      noisy[static_cast<size_t>(k)] += place.initial[place.repeated ? k % size : k];
    t.noisy[i] = std::move(noisy);
    place.initial = t.noisy[i].data();
    place.repeated = false;
  }
}

/// That of single rows is made when the first one comes.
template <class S>
typename CellRecurrence<S>::Packing& CellRecurrence<S>::packing_for(const CellTape<S>& t) {
  if (t.rows > 1) return packing_;
  if (row_packing_ == nullptr) {
    PackedWeights<S> weights(cell_.declaration, {kernels_.row_block});
    row_packing_ = std::make_unique<Packing>(Packing{std::move(weights)});
  }
  return *row_packing_;
}

/// Everything that the time loop reads in place of the weights.
template <class S>
void CellRecurrence<S>::prepare(const ForwardCall<S>& call, Packing& packing) {
  const uint64_t version = call.version;
  if (version == 0 || version != version_) {
    version_ = packing_.version = 0;  // should this fail
    if (row_packing_ != nullptr) row_packing_->version = 0;
    derived_.build(call, multiply());
    vectors_.prepare(derived_.weights());
    version_ = version;
  }
  if (version != 0 && version == packing.version) return;
  packing.version = 0;
  packing.weights.pack(derived_.weights(), runtime_);
  packing.version = version;
}

template <class S>
void CellRecurrence<S>::forward(const ForwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<CellTape<S>&>(tape);
  REQUIRE(call.batch == t.batch && call.steps == t.steps, kInternal,
          "the tape was made for another shape");
  this->require_call(call);
  Packing& packing = packing_for(t);
  prepare(call, packing);
  t.args = SequenceArgs<S>();
  this->bind_sequence(call, t.args);
  bind_tape(t, packing.weights);
  this->bind_states(call, t.args);
  add_noise(call, t);
  ensure_entries(t);
  draw_masks(call, t);
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
  this->bind_upstream(call, a);
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (!a.state[i].shared) continue;
    t.d_initial.resize(d.states.size());
    t.d_initial[i].assign(static_cast<size_t>(t.batch * d.states[i].value.size), S(0));
    a.state[i].d_initial = t.d_initial[i].data();
  }
  packing_for(t).weights.pack_adjoints(derived_.weights(), a.dx != nullptr, runtime_);
  for (const SumInfo& s : d.sums) {
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    for (int tile = 0; tile < t.plan.tiles; ++tile) {
      std::fill_n(a.storage + tile * a.tile_stride + place.offset,
                  int64_t{place.size} * rows_of_sum(s, t), S(0));
    }
  }
  begin_recent(t);
  run_loop(t, true);
  const std::vector<S*>& d_weights = derived_.begin_gradients(call.d_params);
  if (t.rows == 1) {
    row_weight_gradients(t);
  } else {
    weight_gradients(t);
  }
  finish_recent(t);
  require_running(runtime_);
  for (size_t i = 0; i < d.linears.size(); ++i)
    packing_.weights.scatter(static_cast<int>(i), t.dW[i].data(), d_weights, runtime_);
  sum_gradients(d_weights, t);
  initial_gradients(call.d_params, t);
  derived_.finish_gradients(call, multiply());
}

template <class S>
std::vector<int> CellRecurrence<S>::settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                                           bool first) {
  return derived_.settle(params, buffers, first, multiply());
}

template class CellTape<float>;
template class CellTape<double>;
template class CellRecurrence<float>;
template class CellRecurrence<double>;

}  // namespace lookback
