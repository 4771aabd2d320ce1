/// The GPU's execution context: the threads of one block share a tile of batch rows for the whole
/// sequence and meet in a barrier after every operation of a program. The same text runs as CUDA
/// threads and, for tests without a GPU, as host threads (emulated.h): `Threads` gives thread(),
/// threads() and sync().
#pragma once

#include "backend/sequence.h"
#include "base/portable.h"
#include "cells/cell.h"
#include "math/scalar.h"

namespace lookback {

struct BlockColumn {
  int64_t offset = 0;
};

/// One batch row of a tile of kRows, as programs and the loop over time see it.
template <class S, int kRows>
class BlockRow {
 public:
  HD BlockRow(S* base, const S* active, int64_t batch)
      : base_(base), active_(active), batch_(batch) {}
  HD S& operator()(BlockColumn c, int j) const { return base_[c.offset + int64_t{j} * kRows]; }
  HD S& at(BlockColumn c, int j) const { return (*this)(c, j); }
  HD S active() const { return *active_; }
  HD int64_t batch() const { return batch_; }

 private:
  S* base_;
  const S* active_;
  int64_t batch_;
};

/// Tiles [begin, end) belong to this block: one, or the whole batch where rows meet in batch
/// statistics.
template <class Threads, class Scalar, int kRows>
class BlockContext {
 public:
  using Number = Scalar;
  using S = Scalar;
  using Column = BlockColumn;
  using Row = BlockRow<S, kRows>;

  HD BlockContext(Threads threads, const SequenceArgs<S>& args, int begin, int end)
      : threads_(threads), args_(args), begin_(begin), end_(end) {}

  HD int time() const { return time_; }
  HD bool training() const { return args_.training; }
  HD int initial_entries() const { return args_.initial_entries; }
  HD bool default_start() const { return args_.default_start; }
  /// Whether the caller gave the initial value of state `i`, in the order of Declaration::states.
  HD bool state_given(int i) const { return args_.state[i].initial != nullptr; }
  HD Column at(Slot slot, int dt = 0) const { return place(slot.id, dt); }
  HD const S* vector(Vector v) const { return args_.vectors[v.id]; }
  HD bool given(int sequence) const { return args_.sequence[sequence].data != nullptr; }
  HD Slot sequence_slot(int sequence) const {
    return {args_.sequence[sequence].slot, args_.sequence[sequence].size};
  }

  template <class F>
  HD void each(int n, F f) const {
    const int64_t rows = real_rows();
    for (int64_t i = threads_.thread(); i < rows * n; i += threads_.threads()) {
      f(row(i % rows), static_cast<int>(i / rows));
    }
    threads_.sync();
  }
  template <class F>
  HD void rows(int n, F f) const {
    each(n, f);
  }

  HD void linear(Linear l) const {
    const PackedLinear<S>& p = args_.linears[l.id];
    int64_t depth = 0;
    for (int i = 0; i < p.sources; ++i) depth += p.source[i].size;
    const BlockColumn out = place(p.out, 0);
    each(p.rows * p.repeat, [&](Row r, int index) {
      const int o = index % p.rows, repeat = index / p.rows;
      S& to = r(out, p.out_begin + index);
      S sum = p.accumulate ? to : p.forward.bias != nullptr ? p.forward.bias[o] : S(0);
      const S* w = p.forward.data + o * depth;
      for (int i = 0; i < p.sources; ++i) {
        const auto& source = p.source[i];
        const BlockColumn from = place(source.slot, source.dt);
        for (int k = 0; k < source.size; ++k) {
          sum = fma(*w++, r(from, source.begin + repeat * source.size + k), sum);
        }
      }
      to = sum;
    });
  }

  HD void adjoint(Linear l) const {
    const PackedLinear<S>& p = args_.linears[l.id];
    const BlockColumn d_out = place(p.d_out, 0);
    for (int i = 0; i < p.sources; ++i) {
      const auto& source = p.source[i];
      if (p.adjoint[i].data == nullptr) continue;
      const BlockColumn to = place(source.gradient, source.dt);
      each(source.size * p.repeat, [&](Row r, int index) {
        const int k = index % source.size, repeat = index / source.size;
        const int unit = source.begin + index;
        S sum = source.accumulate ? r(to, unit) : S(0);
        const S* w = p.adjoint[i].data + int64_t{k} * p.rows;
        for (int o = 0; o < p.rows; ++o)
          sum = fma(w[o], r(d_out, p.d_out_begin + repeat * p.rows + o), sum);
        r(to, unit) = sum;
      });
    }
  }

  /// A thread takes whole features; the statistics around the first active row, as on the CPU.
  template <class F>
  HD void moments(BatchSite id, int features, int entries, F value) {
    const BatchSiteState<S>& site = args_.sites[id.id];
    const S count = batch_rows() * S(entries);
    S* out = site.moments + int64_t{time_} * 2 * features;
    for (int j = threads_.thread(); j < features; j += threads_.threads()) {
      S pivot(0), sum(0), squares(0);
      bool found = false;
      for_active([&](Row r) {
        if (!found) pivot = value(r, j, 0);
        found = true;
        for (int e = 0; e < entries; ++e) sum += value(r, j, e) - pivot;
      });
      const S mean = count > S(0) ? pivot + sum / count : S(0);
      for_active([&](Row r) {
        for (int e = 0; e < entries; ++e) {
          const S apart = value(r, j, e) - mean;
          squares = fma(apart, apart, squares);
        }
      });
      const S variance = count > S(0) ? squares / count : S(0);
      out[j] = mean;
      out[features + j] = variance;
      if (site.pooled) continue;
      update_running(site, j, count, mean, variance);
      out[features + j] = S(1) / sqrt(variance + args_.batch_eps);
    }
    threads_.sync();
  }
  /// Of a pooled site, whose `moments` has left mean and variance of every step: those of all steps
  /// together.
  HD void pool_moments(BatchSite id, int steps) {
    const BatchSiteState<S>& site = args_.sites[id.id];
    const int F = site.features;
    for (int j = threads_.thread(); j < F; j += threads_.threads()) {
      S mean(0), squares(0);
      for (int t = 0; t < steps; ++t) {
        const S* one = site.moments + int64_t{t} * 2 * F;
        const S apart = one[j] - mean;
        mean += apart / S(t + 1);
        squares += one[F + j] + apart * apart * S(t) / S(t + 1);
      }
      const S variance = squares / S(steps);
      update_running(site, j, S(args_.batch * steps), mean, variance);
      for (int t = 0; t < steps; ++t) {
        S* one = site.moments + int64_t{t} * 2 * F;
        one[j] = mean;
        one[F + j] = S(1) / sqrt(variance + args_.batch_eps);
      }
    }
    threads_.sync();
  }
  HD const S* mean(BatchSite site) const {
    return args_.sites[site.id].moments + int64_t{time_} * 2 * args_.sites[site.id].features;
  }
  HD const S* rstd(BatchSite site) const { return mean(site) + args_.sites[site.id].features; }
  HD S batch_rows() const {
    return static_cast<S>(args_.active_rows != nullptr ? args_.active_rows[time_] : args_.batch);
  }

  template <class F>
  HD const S* sums(int features, F f) {
    S* total = args_.totals;
    for (int j = threads_.thread(); j < features; j += threads_.threads()) {
      S first(0), second(0);
      for_active([&](Row r) {
        S a(0), b(0);
        f(r, j, a, b);
        first += a;
        second += b;
      });
      total[j] = first;
      total[features + j] = second;
    }
    threads_.sync();
    return total;
  }

  // What follows is for the loop over time.
  HD void set_time(int t) { time_ = t; }
  HD void read_fresh_moments(bool) {}
  HD void set_active(int t) {
    each(1, [&](Row r, int) {
      const bool running = args_.lengths == nullptr || t < args_.lengths[r.batch()];
      args_.active[r.batch()] = running ? S(1) : S(0);
    });
  }
  template <class F>
  HD void each_row(F f) const {
    const int64_t rows = real_rows();
    for (int64_t i = threads_.thread(); i < rows; i += threads_.threads()) f(row(i));
    threads_.sync();
  }
  /// All threads of a block must agree, so one asks for all.
  HD bool stop() const { return threads_.agree(args_.cancel); }
  HD Column place(int slot, int dt) const {
    const SlotPlace& p = args_.slots[slot];
    int index = time_ + dt + p.history;
    if (index >= p.depth || index < 0) index = ((index % p.depth) + p.depth) % p.depth;
    return {p.offset + int64_t{index} * p.size * kRows};
  }

 private:
  HD int64_t real_rows() const {
    const int64_t last = int64_t{end_} * kRows;
    return (last < args_.batch ? last : args_.batch) - int64_t{begin_} * kRows;
  }
  HD Row row(int64_t i) const {
    const int64_t b = int64_t{begin_} * kRows + i;
    return Row(args_.storage + b / kRows * args_.tile_stride + b % kRows, args_.active + b, b);
  }
  template <class F>
  HD void for_active(F f) const {
    const int64_t rows = real_rows();
    for (int64_t i = 0; i < rows; ++i) {
      const Row r = row(i);
      if (r.active() != S(0)) f(r);
    }
  }
  HD void update_running(const BatchSiteState<S>& site, int j, S count, S mean, S variance) const {
    if (site.running_mean == nullptr || count == S(0)) return;
    const int stat_row = time_ < site.stat_rows ? time_ : site.stat_rows - 1;
    const S rho = args_.batch_momentum;
    S& running_mean = site.running_mean[int64_t{stat_row} * site.features + j];
    S& running_var = site.running_var[int64_t{stat_row} * site.features + j];
    running_mean = (S(1) - rho) * running_mean + rho * mean;
    if (count <= S(1)) return;
    const S apart = args_.batch_unbiased ? variance * count / (count - S(1)) : variance;
    running_var = (S(1) - rho) * running_var + rho * apart;
  }

  Threads threads_;
  const SequenceArgs<S>& args_;
  int begin_, end_;
  int time_ = 0;
};

/// Rows of dW and db: a thread takes whole elements and sums them over tiles, steps and rows in
/// order.
template <class Threads, class S, int kRows>
HD void block_weight_gradient(Threads threads, const SequenceArgs<S>& args, int linear,
                              int first_step, int row_begin, int row_end, S* dW, S* db) {
  const PackedLinear<S>& p = args.linears[linear];
  int64_t depth = 0;
  for (int i = 0; i < p.sources; ++i) depth += p.source[i].size;
  BlockContext<Threads, S, kRows> x(threads, args, 0, args.tiles);
  const int64_t columns = depth + 1;  // the last one is the bias
  for (int64_t index = threads.thread(); index < (row_end - row_begin) * columns;
       index += threads.threads()) {
    const int o = row_begin + static_cast<int>(index / columns);
    const int64_t k = index % columns;
    int source = 0;
    int64_t unit = k;
    while (source < p.sources && unit >= p.source[source].size) unit -= p.source[source++].size;
    const int begin = source < p.sources ? p.source[source].begin : 0;
    S sum(0);
    for (int t = first_step; t < args.steps; ++t) {
      x.set_time(t);
      const BlockColumn d = x.place(p.d_out, 0);
      const BlockColumn from =
          source < p.sources ? x.place(p.source[source].slot, p.source[source].dt) : BlockColumn();
      for (int repeat = 0; repeat < p.repeat; ++repeat) {
        for (int64_t b = 0; b < args.batch; ++b) {
          const S* base = args.storage + b / kRows * args.tile_stride + b % kRows;
          const S left = base[d.offset + int64_t{p.d_out_begin + repeat * p.rows + o} * kRows];
          sum +=
              k < depth
                  ? left *
                        base[from.offset + (begin + repeat * p.source[source].size + unit) * kRows]
                  : left;
        }
      }
    }
    if (k < depth) {
      dW[o * depth + k] = sum;
    } else if (db != nullptr) {
      db[o] = sum;
    }
  }
  threads.sync();
}

}  // namespace lookback
