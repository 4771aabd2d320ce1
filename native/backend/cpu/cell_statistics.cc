/// The part of a recurrence that has to do with statistics over the batch.
#include <algorithm>
#include <cstring>

#include "backend/cpu/cell_recurrence.h"
#include "backend/tensors.h"
#include "base/error.h"
#include "math/scalar.h"

namespace lookback {

/// The mean and variance that every step has used.
template <class S>
void CellRecurrence<S>::show_statistics(const ForwardCall<S>& call, const CellTape<S>& t) const {
  const Declaration& d = this->cell_.declaration;
  for (size_t i = 0; d.shows_statistics && i < d.sites.size(); ++i) {
    S* const mean = find_out(call.outputs, "mean_" + d.sites[i].name);
    S* const var = find_out(call.outputs, "var_" + d.sites[i].name);
    const int64_t F = t.sites[i].features, rows = t.sites[i].pooled ? 1 : t.steps;
    for (int64_t k = 0; k < rows * F; ++k) {
      const S* at = t.sites[i].moments + k / F * 2 * F + k % F;
      if (mean != nullptr) mean[k] = at[0];
      if (var != nullptr) var[k] = lookback::max(S(1) / (at[F] * at[F]) - t.args.batch_eps, S(0));
    }
  }
}

template <class S>
void CellRecurrence<S>::bind_statistics(const ForwardCall<S>& call, CellTape<S>& t) {
  const Declaration& d = this->cell_.declaration;
  SequenceArgs<S>& a = t.args;
  if (d.sites.empty()) return;
  a.sites = t.sites.data();
  a.batch_unbiased = d.batch_unbiased;
  a.batch_eps = static_cast<S>(d.batch_eps);
  a.batch_momentum = static_cast<S>(d.batch_momentum);
  a.partials = t.partials.data();
  a.partial_stride = t.partial_stride;
  a.totals = t.totals.data();
  if (call.lengths != nullptr) {
    t.active_rows = this->active_rows(call.lengths, t.batch, t.steps);
    a.active_rows = t.active_rows.data();
  }
  for (size_t i = 0; i < d.sites.size(); ++i) {
    BatchSiteState<S>& site = t.sites[i];
    const int rows = site.stat_rows;
    // As stat_shape has it, without its memory.
    const bool one_row = d.sites[i].rows == 0 && d.batch_rows == 0;
    const SmallShape shape = one_row ? SmallShape{site.features} : SmallShape{rows, site.features};
    const auto& [mean_name, var_name] = statistics_[i];
    const S* mean = find(call.inputs, mean_name, shape);
    const S* var = find(call.inputs, var_name, shape);
    site.running_mean = site.running_var = nullptr;
    if (call.training) {
      site.running_mean = find_out(call.outputs, mean_name);
      site.running_var = find_out(call.outputs, var_name);
      const size_t bytes = static_cast<size_t>(site.features * rows) * sizeof(S);
      if (mean && site.running_mean && mean != site.running_mean)
        std::memcpy(site.running_mean, mean, bytes);
      if (var && site.running_var && var != site.running_var)
        std::memcpy(site.running_var, var, bytes);
      continue;
    }
    REQUIRE(mean != nullptr && var != nullptr, kState, "running statistics ", mean_name, " and ",
            var_name, " are missing; evaluation needs them");
    for (int64_t s = 0; s < t.steps; ++s) {
      const int64_t row = std::min<int64_t>(s, rows - 1) * site.features;
      S* out = site.moments + s * 2 * site.features;
      for (int j = 0; j < site.features; ++j) {
        out[j] = mean[row + j];
        out[site.features + j] = S(1) / lookback::sqrt(var[row + j] + a.batch_eps);
      }
    }
    for (const S* in : {mean, var}) {
      S* out = find_out(call.outputs, in == mean ? mean_name : var_name);
      if (out != nullptr && out != in) {
        std::memcpy(out, in, static_cast<size_t>(site.features * rows) * sizeof(S));
      }
    }
  }
}

#define LOOKBACK_INSTANTIATE(S)                                                               \
  template void CellRecurrence<S>::show_statistics(const ForwardCall<S>&, const CellTape<S>&) \
      const;                                                                                  \
  template void CellRecurrence<S>::bind_statistics(const ForwardCall<S>&, CellTape<S>&);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
