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
      const int64_t units =
          packing_.weights.depth(static_cast<int>(i)) + (d.linears[i].biases.empty() ? 0 : 1);
      t->dW.emplace_back(d.linears[i].rows * units);
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
  return alone ? 1 : kernels_.tile_rows;
}

/// Threads that take part in a loop over that many tiles.
template <class S>
int CellRecurrence<S>::workers_for(int tiles, bool coupled) const {
  return coupled && !kernels_.couples_workers ? 1 : std::min(runtime_.pool.threads(), tiles);
}

template <class S>
LoopPlan CellRecurrence<S>::plan_here(const PlanCall& call) const {
  const Declaration& d = cell_.declaration;
  const bool coupled = call.training && !d.sites.empty();
  const int rows = rows_of_tile(call.batch);
  const StoragePlan plan = plan_storage(d, call.batch, call.steps, call.training, rows);
  const int workers = workers_for(plan.tiles, coupled);
  const auto some = [](int64_t n, const char* what) {
    return text(n, " ", what, n == 1 ? "" : "s");
  };
  if (rows == 1) {
    return {"", "rows",
            text("rows: ", some(call.batch, "row"), " one by one on ", some(workers, "thread"),
                 ", a lane to a unit; ",
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
  a.keep = t.keep;
  a.workers = workers_for(t.plan.tiles, a.coupled);
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
  t.args.cancel = runtime_.cancel;  // of this job: the forward pass may have belonged to another
  t.args.barrier = t.args.coupled && t.args.workers > 1 ? &barrier : nullptr;
  const CellLoops<S>& loops = kernels_.cells[cell_.index];
  const bool alone = t.rows == 1;
  const auto loop = backward ? (alone ? loops.row_backward : loops.backward)
                             : (alone ? loops.row_forward : loops.forward);
  runtime_.pool.run(t.args.workers, [&](int worker) { loop(t.args, cell_.cell.get(), worker); });
  t.args.barrier = nullptr;
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
  if (call.version != 0 && call.version == packing.version) return;
  packing.version = 0;  // should this fail
  derived_.build(call, multiply());
  packing.weights.pack(derived_.weights(), runtime_);
  vectors_.prepare(derived_.weights());
  packing.version = call.version;
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
      std::fill_n(a.storage + tile * a.tile_stride + place.offset, int64_t{place.size} * t.rows,
                  S(0));
    }
  }
  run_loop(t, true);
  const std::vector<S*>& d_weights = derived_.begin_gradients(call.d_params);
  if (t.rows == 1) {
    row_weight_gradients(t);
  } else {
    weight_gradients(t);
  }
  require_running(runtime_);
  for (size_t i = 0; i < d.linears.size(); ++i)
    packing_.weights.scatter(static_cast<int>(i), t.dW[i].data(), d_weights, runtime_);
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
void CellRecurrence<S>::weight_gradients(CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  const int workers = runtime_.pool.threads();
  runtime_.pool.run(workers, [&](int worker) {
    for (size_t i = 0; i < d.linears.size(); ++i) {
      WeightGradient<S> g;
      g.linear = static_cast<int>(i);
      g.first_step = d.linears[i].from_initial ? -t.args.initial_entries : 0;
      // Ranges of whole panels, or of a vector of any instruction set where those are too few.
      const int rows = d.linears[i].rows;
      const int part = rows >= workers * kernels_.gemm_panel ? kernels_.gemm_panel : 16;
      const int parts = (rows + part - 1) / part;
      g.row_begin = std::min(rows, parts * worker / workers * part);
      g.row_end = std::min(rows, parts * (worker + 1) / workers * part);
      g.bias = !d.linears[i].biases.empty();
      g.dW = t.dW[i].data();
      g.scratch = t.scratch[static_cast<size_t>(worker)].data();
      if (g.row_begin < g.row_end) kernels_.weight_gradient(t.args, g);
    }
  });
}

/// The same of single rows, whose columns lie as matrices: [step][unit].
template <class S>
void CellRecurrence<S>::row_weight_gradients(CellTape<S>& t) {
  const int workers = runtime_.pool.threads();
  runtime_.pool.run(workers, [&](int worker) {
    for (size_t i = 0; i < cell_.declaration.linears.size(); ++i) {
      const int rows = cell_.declaration.linears[i].rows, panel = kernels_.gemm_panel;
      const int panels = (rows + panel - 1) / panel;
      const int begin = panels * worker / workers * panel;
      const int end = std::min(rows, panels * (worker + 1) / workers * panel);
      if (begin < end)
        row_weight_gradient(i, begin, end, t, t.scratch[static_cast<size_t>(worker)]);
    }
  });
}

/// Outputs [begin, end) of one Linear.
template <class S>
void CellRecurrence<S>::row_weight_gradient(size_t linear, int begin, int end, CellTape<S>& t,
                                            const AlignedArray<S>& scratch) {
  const LinearInfo& info = cell_.declaration.linears[linear];
  const PackedLinear<S>& p = t.args.linears[linear];
  const int first = info.from_initial ? -t.args.initial_entries : 0;
  const auto stride = [&](int slot) {
    return row_column(t.plan.slots[static_cast<size_t>(slot)].size);
  };
  const auto column = [&](int row, int slot, int dt) {
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(slot)];
    return t.args.storage + row * t.args.tile_stride + place.offset +
           (first + dt + place.history) * stride(slot);
  };
  S* const dW = t.dW[linear].data();
  for (int64_t unit = 0; unit * p.rows < t.dW[linear].size(); ++unit)
    std::fill(dW + unit * p.rows + begin, dW + unit * p.rows + end, S(0));
  Gemm<S> product;
  product.n = product.c_row = p.rows;
  product.k = t.steps - first;
  product.a_row = 1;
  product.b_row = stride(p.d_out);
  product.beta = S(1);
  for (int part = 0; part < t.plan.tiles * p.repeat && !cancelled(runtime_); ++part) {
    const int row = part / p.repeat, repeat = part % p.repeat;
    product.b = column(row, p.d_out, 0) + p.d_out_begin + repeat * p.rows;
    product.c = dW;
    for (int k = 0; k < p.sources; ++k) {
      const auto& source = p.source[k];
      product.m = source.size;
      product.a = column(row, source.slot, source.dt) + source.begin + repeat * source.size;
      product.a_col = stride(source.slot);
      kernels_.gemm(product, 0, product.m, begin, end, scratch.data());
      product.c += product.m * p.rows;
    }
    for (int64_t step = 0; step < product.k && !info.biases.empty(); ++step)
      for (int o = begin; o < end; ++o) product.c[o] += product.b[step * product.b_row + o];
  }
}

template <class S>
void CellRecurrence<S>::sum_gradients(const std::vector<S*>& d_weights, CellTape<S>& t) {
  const int rows = t.rows;
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
