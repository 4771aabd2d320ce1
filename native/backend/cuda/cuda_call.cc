/// What a call brings beside x and the weights: rows that end, masks, noise, batch statistics.
#include <algorithm>

#include "backend/cuda/cuda_recurrence.h"
#include "backend/tensors.h"
#include "base/error.h"

namespace lookback {

template <class S>
void CudaRecurrence<S>::bind_rows(const ForwardCall<S>& call, CudaTape<S>& t) {
  SequenceArgs<S>& a = t.loop.args.walk;
  const Declaration& d = cell_.declaration;
  if (call.lengths == nullptr) return;
  t.lengths.ensure(call.batch, "lengths");
  device_.copy_in(call.lengths, call.batch, t.lengths.data());
  a.lengths = t.lengths.data();
  if (d.sites.empty()) return;
  const std::vector<int64_t> rows = this->active_rows(call.lengths, call.batch, call.steps);
  t.active_rows.ensure(call.steps, "lengths");
  device_.copy_in(rows.data(), call.steps, t.active_rows.data());
  a.active_rows = t.active_rows.data();
}

template <class S>
void CudaRecurrence<S>::draw_masks(const ForwardCall<S>& call, CudaTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.loop.args.walk;
  this->bind_masks(call, a);
  for (size_t i = 0; i < d.sequences.size(); ++i) {
    const SequenceInput& s = d.sequences[i];
    if (!this->is_drawn(call, a, static_cast<int>(i))) continue;
    MasksOp<S> op = {};
    op.stream = dropout_stream(call.dropout->seed, call.dropout->step, call.dropout->layer);
    op.site = static_cast<uint32_t>(i + 1);
    op.zoneout = s.zoneout;
    op.constant = s.constant;
    op.rate = s.rate;
    op.batch = call.batch;
    op.width = this->row_of_mask(a, static_cast<int>(i));
    op.size = s.slot.size;
    if (call.origins != nullptr) {
      std::vector<int64_t> origins;
      for (int64_t b = 0; b < call.batch; ++b) {
        origins.push_back(call.origins[b].row);
        origins.push_back(call.origins[b].step);
      }
      t.origins.ensure(2 * call.batch, "masks");
      device_.copy_in(origins.data(), 2 * call.batch, t.origins.data());
      op.origins = t.origins.data();
    }
    t.masks[i].ensure(checked_mul(call.batch, op.width, "masks"), "masks");
    op.to = t.masks[i].data();
    device_.template launch<S>(op.kId, op);
    a.sequence[i].data = t.masks[i].data();
  }
  this->drop_idle_zoneout(a);
}

template <class S>
void CudaRecurrence<S>::bind_statistics(const ForwardCall<S>& call, CudaTape<S>& t) {
  const Declaration& d = cell_.declaration;
  SequenceArgs<S>& a = t.loop.args.walk;
  a.batch_unbiased = d.batch_unbiased;
  a.batch_eps = static_cast<S>(d.batch_eps);
  a.batch_momentum = static_cast<S>(d.batch_momentum);
  S* moments = t.moments.data();
  for (size_t i = 0; i < d.sites.size(); ++i) {
    BatchSiteState<S>& site = t.loop.args.sites[i] = BatchSiteState<S>();
    site.features = d.sites[i].features;
    site.stat_rows = this->stat_rows(d.sites[i]);
    site.pooled = d.sites[i].pooled;
    site.moments = moments;
    moments += 2 * int64_t{site.features} * call.steps * t.plan.shares;
    const std::vector<int64_t> shape = this->stat_shape(d.sites[i]);
    const std::string name = "buf." + d.sites[i].name;
    const S* const mean = find(call.inputs, name + ".mean", shape);
    const S* const var = find(call.inputs, name + ".var", shape);
    S* const mean_out = find_out(call.outputs, name + ".mean");
    S* const var_out = find_out(call.outputs, name + ".var");
    const int64_t numbers = int64_t{site.features} * site.stat_rows;
    if (mean != nullptr && mean_out != nullptr) device_.copy(mean, numbers, mean_out);
    if (var != nullptr && var_out != nullptr) device_.copy(var, numbers, var_out);
    if (call.training) {
      site.running_mean = mean_out;
      site.running_var = var_out;
      continue;
    }
    REQUIRE(mean != nullptr && var != nullptr, kState, "running statistics ", name,
            ".mean and .var are missing; evaluation needs them");
    const StatisticsOp<S> op = {site.moments,   mean,       var,           nullptr,    nullptr,
                                site.stat_rows, call.steps, site.features, a.batch_eps};
    device_.template launch<S>(op.kId, op);
  }
}

/// The mean and variance that every step has used.
template <class S>
void CudaRecurrence<S>::show_statistics(const ForwardCall<S>& call, CudaTape<S>& t) {
  const Declaration& d = cell_.declaration;
  for (size_t i = 0; d.shows_statistics && i < d.sites.size(); ++i) {
    S* const mean = find_out(call.outputs, "mean_" + d.sites[i].name);
    S* const var = find_out(call.outputs, "var_" + d.sites[i].name);
    if (mean == nullptr && var == nullptr) continue;
    const BatchSiteState<S>& site = t.loop.args.sites[i];
    const StatisticsOp<S> op = {site.moments, nullptr,       nullptr,
                                mean,         var,           site.pooled ? 1 : call.steps,
                                call.steps,   site.features, t.loop.args.walk.batch_eps};
    device_.template launch<S>(op.kId, op);
  }
}

/// In training a row of a state may start from what it starts from plus noise of its own.
template <class S>
void CudaRecurrence<S>::add_noise(const ForwardCall<S>& call, CudaTape<S>& t) {
  for (size_t i = 0; i < cell_.declaration.states.size(); ++i) {
    if (!this->is_noisy(call, i)) continue;
    StatePlace<S>& place = t.loop.args.walk.state[i];
    const int64_t size = place.size, all = call.batch * size;
    const std::vector<S> noise = this->noise_of(call, i);
    t.noisy[i].ensure(all, "noise");
    S* const to = t.noisy[i].data();
    device_.copy_in(noise.data(), all, to);
    for (int64_t b = 0; place.initial != nullptr && place.repeated && b < call.batch; ++b)
      backend_.add(size, place.initial, to + b * size);
    if (place.initial != nullptr && !place.repeated) backend_.add(all, place.initial, to);
    place.initial = to;
    place.repeated = false;
  }
}

#define LOOKBACK_INSTANTIATE(S)                                                          \
  template void CudaRecurrence<S>::bind_rows(const ForwardCall<S>&, CudaTape<S>&);       \
  template void CudaRecurrence<S>::draw_masks(const ForwardCall<S>&, CudaTape<S>&);      \
  template void CudaRecurrence<S>::bind_statistics(const ForwardCall<S>&, CudaTape<S>&); \
  template void CudaRecurrence<S>::show_statistics(const ForwardCall<S>&, CudaTape<S>&); \
  template void CudaRecurrence<S>::add_noise(const ForwardCall<S>&, CudaTape<S>&);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
