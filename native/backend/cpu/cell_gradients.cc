/// The part of a recurrence that makes the weights' gradients, within the backward loop and behind
/// it.
#include <algorithm>

#include "backend/cpu/cancel.h"
#include "backend/cpu/cell_recurrence.h"

namespace lookback {

/// The gradients that the loop sums begin at zero.
template <class S>
void CellRecurrence<S>::begin_recent(CellTape<S>& t) {
  t.recent.clear();
  t.scratch_places.clear();
  for (const AlignedArray<S>& scratch : t.scratch) t.scratch_places.push_back(scratch.data());
  for (const int i : t.plan.recent) {
    const LinearInfo& info = cell_.declaration.linears[static_cast<size_t>(i)];
    AlignedArray<S>& dW = t.dW[static_cast<size_t>(i)];
    std::fill_n(dW.data(), dW.size(), S(0));
    t.recent.push_back({i, !info.biases.empty(), dW.data(), dW.size() / t.plan.tiles});
  }
  t.args.recent = t.recent.data();
  t.args.recent_count = static_cast<int>(t.recent.size());
  t.args.gradient_scratch = t.scratch_places.data();
}

/// Their sums over the tiles, in order, in the place of the first.
template <class S>
void CellRecurrence<S>::finish_recent(CellTape<S>& t) {
  for (const RecentGradient<S>& recent : t.recent) {
    for (int64_t k = recent.numbers; k < recent.numbers * t.plan.tiles; ++k)
      recent.dW[k % recent.numbers] += recent.dW[k];
  }
}

template <class S>
void CellRecurrence<S>::weight_gradients(CellTape<S>& t) {
  const Declaration& d = cell_.declaration;
  const int workers = runtime_.pool.threads();
  runtime_.pool.run(workers, [&](int worker) {
    for (size_t i = 0; i < d.linears.size(); ++i) {
      if (t.plan.is_recent(static_cast<int>(i))) continue;
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

/// Columns [begin, end) of g in runs of steps, with a look at the cancel flag between them.
template <class S>
void CellRecurrence<S>::add_in_runs(const Gemm<S>& g, int begin, int end,
                                    const AlignedArray<S>& scratch) {
  constexpr int64_t kRun = 256, kWork = int64_t{1} << 27;  // steps; multiply-adds, a few ms
  const int64_t most = std::max<int64_t>(1, kWork / (g.m * g.n * kRun)) * kRun;
  for (int64_t k = 0; k < g.k && !cancelled(runtime_); k += most) {
    Gemm<S> run = g;
    run.k = std::min(most, g.k - k);
    run.a += k * g.a_col;
    run.b += k * g.b_row;
    kernels_.gemm(run, 0, run.m, begin, end, scratch.data());
  }
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
      add_in_runs(product, begin, end, scratch);
      product.c += product.m * p.rows;
    }
    for (int64_t step = 0; step < product.k && !info.biases.empty(); ++step)
      for (int o = begin; o < end; ++o) product.c[o] += product.b[step * product.b_row + o];
  }
}

/// Rows that a tile keeps sums of, one by one.
template <class S>
int CellRecurrence<S>::rows_of_sum(const SumInfo& sum, const CellTape<S>& t) const {
  const SlotInfo& slot = cell_.declaration.slots[static_cast<size_t>(sum.slot.id)];
  return slot.life == Life::kTotal ? 1 : t.rows;
}

template <class S>
void CellRecurrence<S>::sum_gradients(const std::vector<S*>& d_weights, CellTape<S>& t) {
  for (const SumInfo& s : cell_.declaration.sums) {
    const int rows = rows_of_sum(s, t);
    const SlotPlace& place = t.plan.slots[static_cast<size_t>(s.slot.id)];
    t.sum.assign(static_cast<size_t>(place.size), S(0));
    for (int tile = 0; tile < t.plan.tiles; ++tile) {
      const S* from = t.args.storage + tile * t.args.tile_stride + place.offset;
      const int64_t real = std::min<int64_t>(rows, t.batch - int64_t{tile} * t.rows);
      for (int j = 0; j < place.size; ++j) {
        for (int64_t row = 0; row < real; ++row)
          t.sum[static_cast<size_t>(j)] += from[int64_t{j} * rows + row];
      }
    }
    vectors_.add_gradient(s.vector, t.sum.data(), d_weights);
  }
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

#define LOOKBACK_INSTANTIATE(S)                                                          \
  template void CellRecurrence<S>::begin_recent(CellTape<S>&);                           \
  template void CellRecurrence<S>::finish_recent(CellTape<S>&);                          \
  template void CellRecurrence<S>::weight_gradients(CellTape<S>&);                       \
  template void CellRecurrence<S>::row_weight_gradients(CellTape<S>&);                   \
  template int CellRecurrence<S>::rows_of_sum(const SumInfo&, const CellTape<S>&) const; \
  template void CellRecurrence<S>::sum_gradients(const std::vector<S*>&, CellTape<S>&);  \
  template void CellRecurrence<S>::initial_gradients(const std::vector<S*>&, CellTape<S>&);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
