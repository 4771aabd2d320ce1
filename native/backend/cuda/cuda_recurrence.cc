#include "backend/cuda/cuda_recurrence.h"

#include <algorithm>
#include <cstring>

#include "backend/tensors.h"
#include "base/error.h"

namespace lookback {

template <class S>
CudaTape<S>::CudaTape(CudaDevice& device)
    : storage(device),
      active(device),
      totals(device),
      moments(device),
      gradients(device),
      sums(device),
      lengths(device),
      active_rows(device),
      origins(device),
      forward_record(device),
      backward_record(device) {}

template <class S>
size_t CudaTape<S>::bytes() const {
  int64_t all = storage.bytes() + active.bytes() + totals.bytes() + moments.bytes() +
                gradients.bytes() + sums.bytes();
  for (const auto* set : {&masks, &d_initial}) {
    for (const Buffer<S>& each : *set) all += each.bytes();
  }
  return static_cast<size_t>(all);
}

template <class S>
CudaRecurrence<S>::CudaRecurrence(Backend<S>& backend, CudaDevice& device, Multiply on_host,
                                  CellInstance cell)
    : CellHost<S>(std::move(cell)),
      backend_(backend),
      device_(device),
      on_host_(std::move(on_host)),
      layout_(cell_.declaration),
      weights_(layout_, backend, device),
      host_gradients_(device),
      own_weights_(make_orthogonal_weights<S>(device, cell_.declaration.parametrization.get())) {
  REQUIRE(cell_.bytes <= kMaxCellBytes, kInternal, "the struct of cell ", cell_.key, " has ",
          cell_.bytes, " bytes; a launch has room for ", kMaxCellBytes);
  for (const DerivedInfo& derivation : cell_.declaration.derivations) {
    const int64_t count =
        element_count({derivation.shape.begin(), derivation.shape.end()}, "a derived matrix");
    derived_values_.emplace_back(count, "a derived matrix", device);
    derived_gradients_.emplace_back(count, "a derived matrix", device);
  }
}

template <class S>
BlockLimits CudaRecurrence<S>::limits() const {
  const CudaDeviceInfo& gpu = device_.info();
  return {gpu.multiprocessors, gpu.shared_bytes, gpu.max_cluster};
}

template <class S>
BlockShape CudaRecurrence<S>::shape_of(int64_t batch, int64_t steps, bool keep,
                                       bool training) const {
  return {batch, steps, keep, training && !cell_.declaration.sites.empty(), 1, sizeof(S)};
}

/// By the model of sizes, with no larger clusters than the device has room for: what it can hold
/// depends on the kernel, and on where its multiprocessors are.
template <class S>
BlockPlan CudaRecurrence<S>::choose_plan(const BlockShape& shape) const {
  BlockLimits limits = this->limits();
  BlockPlan plan = plan_blocks(layout_, shape, limits);
  std::string refused;
  while (plan.together() > 1 && !has_room(plan, shape)) {
    refused = text("; the device has no room for a cluster of ", plan.together());
    limits.max_cluster = plan.together() / 2;
    plan = plan_blocks(layout_, shape, limits);
  }
  plan.why += refused;
  return plan;
}

template <class S>
bool CudaRecurrence<S>::has_room(const BlockPlan& plan, const BlockShape& shape) const {
  for (const bool backward : {false, true}) {
    if (backward && !shape.keep) break;
    LoopOp<S> loop = {};
    size_loop(plan, backward, loop);
    if (device_.template count_clusters<S>(loop) == 0) return false;
  }
  return true;
}

/// Which kernel a plan means, and the sizes of its launch.
template <class S>
void CudaRecurrence<S>::size_loop(const BlockPlan& plan, bool backward, LoopOp<S>& loop) const {
  const bool resident = plan.driver == BlockDriver::kResident;
  const SharedPlan& shared = backward ? plan.backward : plan.forward;
  loop.index = cell_.index;
  loop.backward = backward;
  loop.threads = plan.threads;
  loop.blocks = plan.blocks * plan.cluster;
  loop.shared_bytes = resident ? shared.numbers * static_cast<int32_t>(sizeof(S)) : 0;
  loop.args.cluster = plan.cluster;
  loop.args.shares = plan.shares;
  loop.args.shared_numbers = shared.numbers;
  loop.args.held = resident && shared.held;
}

template <class S>
LoopPlan CudaRecurrence<S>::plan_here(const PlanCall& call) const {
  const BlockShape shape = shape_of(call.batch, call.steps, call.training, call.training);
  // Passes without training have no use for it, so it is not opened for them.
  if (call.training && !call.beside) device_.blas();
  const CudaBlasInfo* const opened = device_.opened_blas();
  const CublasReport cublas = opened != nullptr ? report_of(*opened) : CublasReport();
  return choose_plan(shape).told(layout_, shape, &cublas);
}

template <class S>
std::unique_ptr<Tape> CudaRecurrence<S>::make_tape(int64_t batch, int64_t steps, bool keep) {
  REQUIRE(batch > 0 && steps > 0, kShape, "batch ", batch, " and steps ", steps,
          " must be at least 1");
  const Declaration& d = cell_.declaration;
  auto t = std::make_unique<CudaTape<S>>(device_);
  t->shape = shape_of(batch, steps, keep, keep);
  t->plan = choose_plan(t->shape);
  make_room(*t);
  t->active.ensure(batch, "activations");
  for (size_t i = 0; i < d.sequences.size(); ++i) t->masks.emplace_back(device_);
  for (size_t i = 0; i < d.states.size(); ++i) {
    t->d_initial.emplace_back(device_);
    t->noisy.emplace_back(device_);
  }
  return t;
}

/// What the plan needs; each share of a batch has statistics for itself.
template <class S>
void CudaRecurrence<S>::make_room(CudaTape<S>& t) const {
  const Declaration& d = cell_.declaration;
  t.storage.ensure(t.plan.storage_numbers, "activations");
  int64_t features = 0;
  for (const BatchSiteInfo& site : d.sites) features += site.features;
  const int64_t moments = checked_mul(t.shape.steps, 2 * features, "batch statistics");
  t.totals.ensure(int64_t{t.plan.shares} * message_numbers(most_features(d)), "batch statistics");
  t.moments.ensure(checked_mul(t.plan.shares, moments, "batch statistics"), "batch statistics");
}

/// The plan of a tape changes with what the call needs: rows that meet, and room for initial
/// states.
template <class S>
void CudaRecurrence<S>::ensure_plan(const ForwardCall<S>& call, CudaTape<S>& t) {
  const int entries = t.loop.args.walk.initial_entries;
  BlockShape shape = shape_of(t.shape.batch, t.shape.steps, t.shape.keep, call.training);
  shape.entries = std::max(entries, t.shape.entries);
  if (shape.coupled == t.shape.coupled && shape.entries == t.shape.entries &&
      t.plan.storage_numbers > 0 && t.storage.size() > 0)
    return;
  t.storage.clear();  // two at a time could be more than the device has
  t.plan = choose_plan(shape);
  t.shape = shape;
  make_room(t);
}

template <class S>
void CudaRecurrence<S>::bind_tape(CudaTape<S>& t) {
  BlockArgs<S>& a = t.loop.args;
  const Declaration& d = cell_.declaration;
  std::memcpy(a.cell, cell_.cell.get(), cell_.bytes);
  a.walk.storage = t.storage.data();
  a.walk.active = t.active.data();
  a.walk.totals = t.totals.data();
  a.walk.keep = t.shape.keep;
  a.slot_count = static_cast<int32_t>(t.plan.slots.size());
  std::copy(t.plan.slots.begin(), t.plan.slots.end(), a.slots);
  a.rows = t.plan.rows;
  a.message = message_numbers(most_features(d));
  a.padded = t.plan.padded;
  for (size_t v = 0; v < d.vectors.size(); ++v) a.vectors[v] = weights_.vector(v);
}

/// Every product's place in memory; its sources that are multiplied before the loop are left out.
template <class S>
void CudaRecurrence<S>::bind_products(CudaTape<S>& t, bool backward, bool with_dx) {
  const Declaration& d = cell_.declaration;
  const SharedPlan& shared = backward ? t.plan.backward : t.plan.forward;
  const auto chunks = [&](int outputs) {
    const bool room = shared.partial_numbers > 0 && t.plan.driver == BlockDriver::kResident;
    return room ? product_parts(outputs) : 1;
  };
  const auto place = [&](size_t l, size_t s, const PackedPlace& at) {
    typename BlockProduct<S>::Source source;
    source.weights = weights_.at(at);
    if (!shared.weights.empty()) {
      source.shared = shared.weights[l][s].begin;
      source.shared_quads = shared.weights[l][s].quads;
    }
    return source;
  };
  for (size_t l = 0; l < d.linears.size(); ++l) {
    const LinearInfo& info = d.linears[l];
    BlockLinear<S>& linear = t.loop.args.linears[l] = BlockLinear<S>();
    BlockProduct<S>& p = linear.forward;
    p.out = info.out.id;
    p.out_begin = info.out_begin;
    p.rows = info.rows;
    p.repeat = info.repeat;
    p.accumulate = info.accumulate || layout_.input_source(l) >= 0;
    if (!info.biases.empty()) p.bias = weights_.at(layout_.bias(l));
    p.chunks = chunks(info.rows * info.repeat);
    for (size_t s = 0; s < info.sources.size(); ++s) {
      const LinearSource& from = info.sources[s];
      const int size = layout_.source_size(l, s);
      if (layout_.input_source(l) != static_cast<int>(s)) {
        auto& source = p.source[p.sources++] = place(l, s, layout_.forward(l, s));
        source.slot = from.value.id;
        source.dt = from.dt;
        source.begin = from.begin;
        source.size = size;
      }
      const bool wanted =
          layout_.adjoint(l, s).numbers > 0 && (with_dx || from.gradient.id != d.dx.id);
      if (!backward || !wanted) continue;
      BlockProduct<S>& q = linear.adjoint[linear.adjoints++];
      q.out = from.gradient.id;
      q.out_dt = from.dt;
      q.out_begin = from.begin;
      q.rows = size;
      q.repeat = info.repeat;
      q.accumulate = from.accumulate;
      q.chunks = chunks(size * info.repeat);
      q.sources = 1;
      q.source[0] = place(l, s, layout_.adjoint(l, s));
      // Stepwise products have one dense matrix for both directions.
      const bool before = layout_.input_source(l) == static_cast<int>(s);
      if (t.plan.driver == BlockDriver::kStepwise)
        q.source[0].weights = weights_.at(before ? layout_.input(l) : layout_.forward(l, s));
      q.source[0].slot = info.d_out.id;
      q.source[0].begin = info.d_out_begin;
      q.source[0].size = info.rows;
    }
  }
}

/// What moves between shared and global memory, and when.
template <class S>
void CudaRecurrence<S>::stage(CudaTape<S>& t, bool backward) const {
  const Declaration& d = cell_.declaration;
  BlockArgs<S>& a = t.loop.args;
  const bool resident = t.plan.driver == BlockDriver::kResident;
  const SharedPlan& shared = backward ? t.plan.backward : t.plan.forward;
  size_loop(t.plan, backward, t.loop);
  a.partials = shared.partials;
  a.partial_numbers = shared.partial_numbers;
  a.common = shared.common;
  const auto is_result = [&](size_t s) {
    return std::any_of(d.linears.begin(), d.linears.end(),
                       [&](const LinearInfo& l) { return l.d_out.id == static_cast<int>(s); });
  };
  for (size_t s = 0; s < d.slots.size(); ++s) {
    BlockSlot& slot = a.slots[s];
    slot.shared = resident ? shared.slots[s] : -1;
    slot.staging = kNotStaged;
    if (slot.shared < 0) continue;
    const Life life = d.slots[s].life;
    bool before = false;
    for (size_t l = 0; l < d.linears.size(); ++l) {
      before =
          before || (layout_.input_source(l) >= 0 && d.linears[l].out.id == static_cast<int>(s));
    }
    if (life == Life::kTape) {
      const bool load = backward || before, store = backward ? is_result(s) : t.shape.keep;
      slot.staging = static_cast<uint8_t>((load ? kLoadStep : 0) | (store ? kStoreStep : 0));
    }
    if ((life == Life::kRing || life == Life::kPast) && t.shape.keep)
      slot.staging = backward ? kLoadAll : kStoreAll;
    if (life == Life::kSum || life == Life::kTotal) slot.staging = kStoreAll;
  }
}

template <class S>
S* CudaRecurrence<S>::column(CudaTape<S>& t, int slot, int64_t step) const {
  const BlockSlot& p = t.plan.slots[static_cast<size_t>(slot)];
  return t.storage.data() + p.offset + (step + p.history) * t.plan.padded * p.stride;
}

template <class S>
void CudaRecurrence<S>::move_input(CudaTape<S>& t, const S* from, S* to, bool out) {
  const SequenceArgs<S>& walk = t.loop.args.walk;
  const int slot = cell_.declaration.x.id;
  InputOp<S> op = {};
  op.from = from;
  op.to = to;
  op.out = out;
  op.batch = t.shape.batch;
  op.steps = t.shape.steps;
  op.padded = t.plan.padded;
  op.size = info_.input_size;
  op.stride = t.plan.slots[static_cast<size_t>(slot)].stride;
  op.lengths = walk.lengths;
  if (walk.input_mask >= 0) op.mask = walk.sequence[walk.input_mask];
  device_.template launch<S>(op.kId, op);
}

/// W_x x of all steps, which the loop goes on from.
template <class S>
void CudaRecurrence<S>::multiply_input(CudaTape<S>& t) {
  const Declaration& d = cell_.declaration;
  for (size_t l = 0; l < d.linears.size(); ++l) {
    if (layout_.input_source(l) < 0) continue;
    const LinearInfo& info = d.linears[l];
    Gemm<S> g;
    g.m = t.shape.steps * t.plan.padded;
    g.n = info.rows;
    g.k = info_.input_size;
    g.a = column(t, d.x.id, 0);
    g.a_row = t.plan.slots[static_cast<size_t>(d.x.id)].stride;
    g.b = weights_.at(layout_.input(l));
    g.b_row = 1;
    g.b_col = g.k;
    g.c = column(t, info.out.id, 0) + info.out_begin;
    g.c_row = t.plan.slots[static_cast<size_t>(info.out.id)].stride;
    g.any_order = t.trains();
    backend_.gemm(g);
  }
}

/// Everything that the loop reads in place of the weights. What is the same as before stays packed,
/// but where the parameters lie is looked at in every call.
template <class S>
void CudaRecurrence<S>::prepare(const ForwardCall<S>& call, bool quads) {
  const bool built = call.version != 0 && call.version == version_;
  version_ = 0;  // should this fail
  if (!built) build_derived(call);
  find_weights(call.params);
  if (!built) weights_.fill_tables(all_weights_);
  if (!built || quads != quads_) pack(quads);
  version_ = call.version;
}

template <class S>
void CudaRecurrence<S>::find_weights(const std::vector<const S*>& params) {
  all_weights_ = params;
  for (const Buffer<S>& derived : derived_values_) all_weights_.push_back(derived.data());
  weights_.find_vectors(all_weights_);
}

template <class S>
void CudaRecurrence<S>::pack(bool quads) {
  weights_.pack(all_weights_, quads);
  quads_ = quads;
}

template <class S>
void CudaRecurrence<S>::read_saved(const Tape& tape, const Tensors<S>& to) const {
  const auto& t = static_cast<const CudaTape<S>&>(tape);
  REQUIRE(t.filled, kState, "what a forward pass has saved can be read before backward");
  for (const SavedInfo& s : cell_.declaration.saved) {
    const auto wanted = to.find(s.name);
    if (wanted == to.end()) continue;
    const BlockSlot& slot = t.plan.slots[static_cast<size_t>(s.slot.id)];
    InputOp<S> op = {};
    op.from = t.storage.data() + slot.offset + slot.history * t.plan.padded * slot.stride + s.begin;
    op.to = wanted->second.data;
    op.out = true;
    op.batch = t.shape.batch;
    op.steps = t.shape.steps;
    op.padded = t.plan.padded;
    op.size = static_cast<int32_t>(wanted->second.size() / (op.batch * op.steps));
    op.stride = slot.stride;
    op.lengths = t.loop.args.walk.lengths;
    device_.template launch<S>(op.kId, op);
  }
}

template <class S>
void CudaRecurrence<S>::forward(const ForwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<CudaTape<S>&>(tape);
  REQUIRE(call.batch == t.shape.batch && call.steps == t.shape.steps, kInternal,
          "the tape was made for another shape");
  this->require_call(call);
  t.filled = false;
  SequenceArgs<S>& a = t.loop.args.walk;
  a = SequenceArgs<S>();
  this->bind_sequence(call, a);
  this->bind_states(call, a);
  ensure_plan(call, t);
  prepare(call, t.plan.driver == BlockDriver::kResident);
  add_noise(call, t);
  bind_tape(t);
  bind_products(t, false, false);
  bind_rows(call, t);
  draw_masks(call, t);
  bind_statistics(call, t);
  stage(t, false);
  move_input(t, a.x, column(t, cell_.declaration.x.id, 0), false);
  multiply_input(t);
  // The loop finds x where it is.
  a.x = nullptr;
  a.input_size = 0;
  a.input_mask = -1;
  run_loop(t, false);
  a.input_size = info_.input_size;
  a.input_mask = cell_.declaration.input_mask;
  show_statistics(call, t);
  t.filled = t.shape.keep;
}

template class CudaTape<float>;
template class CudaTape<double>;

#define LOOKBACK_INSTANTIATE(S)                                                                 \
  template CudaRecurrence<S>::CudaRecurrence(Backend<S>&, CudaDevice&, Multiply, CellInstance); \
  template LoopPlan CudaRecurrence<S>::plan_here(const PlanCall&) const;                        \
  template std::unique_ptr<Tape> CudaRecurrence<S>::make_tape(int64_t, int64_t, bool);          \
  template void CudaRecurrence<S>::forward(const ForwardCall<S>&, Tape&);                       \
  template void CudaRecurrence<S>::bind_products(CudaTape<S>&, bool, bool);                     \
  template void CudaRecurrence<S>::stage(CudaTape<S>&, bool) const;                             \
  template void CudaRecurrence<S>::pack(bool);                                                  \
  template void CudaRecurrence<S>::find_weights(const std::vector<const S*>&);                  \
  template void CudaRecurrence<S>::move_input(CudaTape<S>&, const S*, S*, bool);                \
  template S* CudaRecurrence<S>::column(CudaTape<S>&, int, int64_t) const;
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
