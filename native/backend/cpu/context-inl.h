/// The CPU's execution context: one worker walks its tiles of batch rows through a step, a lane to
/// a row.
#pragma once

#include "backend/cpu/gemm-inl.h"
#include "backend/sequence.h"
#include "cells/cell.h"
#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// A column of a slot at one step, relative to the tile's begin.
struct TileColumn {
  int64_t offset = 0;
};

/// The rows of one vector of a tile.
template <class V, int kStride>
class RowGroup {
 public:
  using S = ScalarOf<V>;
  HD RowGroup(S* tile, int first, const S* active) : tile_(tile), first_(first), active_(active) {}
  HD V& operator()(TileColumn c, int j) const {
    return at<V>(tile_ + first_ + c.offset + int64_t{j} * kStride);
  }
  HD V active() const { return at<V>(active_); }
  /// One number for all rows of the tile.
  HD void add(TileColumn total, int j, V numbers) const {
    tile_[total.offset + j] += sum_lanes(select(active(), numbers, V(0)));
  }

 private:
  S* tile_;
  int first_;
  const S* active_;
};

/// One real row of a tile, for moving numbers in and out.
template <class V, int kStride>
class TileRow {
 public:
  using S = ScalarOf<V>;
  HD TileRow(S* base, int64_t batch) : base_(base), batch_(batch) {}
  HD S& at(TileColumn c, int j) const { return base_[c.offset + int64_t{j} * kStride]; }
  HD int64_t batch() const { return batch_; }
  HD int first() const { return 0; }
  HD int stride() const { return 1; }

 private:
  S* base_;
  int64_t batch_;
};

/// Its tiles hold kVectors vectors of rows.
template <class V, int kVectors = kGroups>
class TileContext {
 public:
  using Number = V;
  using Column = TileColumn;
  using S = ScalarOf<V>;
  static constexpr int kStride = kTileRows<V, kVectors>;
  using Row = RowGroup<V, kStride>;
  static constexpr int kWidth = NumberTraits<V>::kLanes;

  TileContext(const SequenceArgs<S>& args, S* active, int tile_begin, int tile_end, int worker)
      : args_(args), active_(active), begin_(tile_begin), end_(tile_end), worker_(worker) {}

  void set_time(int t) { time_ = t; }
  HD int time() const { return time_; }
  HD bool training() const { return args_.training; }
  /// Entries that the initial state holds (a queue may be given with several).
  HD int initial_entries() const { return args_.initial_entries; }
  HD bool default_start() const { return args_.default_start; }
  /// Whether the caller gave the initial value of state `i`, in the order of Declaration::states.
  HD bool state_given(int i) const { return args_.state[i].initial != nullptr; }

  HD TileColumn at(Slot slot, int dt = 0) const { return place(slot.id, dt); }
  HD const S* vector(Vector v) const { return args_.vectors[v.id]; }
  /// Whether the caller gave (or the driver drew) this per-step sequence.
  HD bool given(int sequence) const { return args_.sequence[sequence].data != nullptr; }

  HD Slot sequence_slot(int sequence) const {
    return {args_.sequence[sequence].slot, args_.sequence[sequence].size};
  }

  template <class F>
  HD void each(int n, F f) const {
    for (int tile = begin_; tile < end_; ++tile) {
      S* base = tile_base(tile);
      const int groups = groups_of(tile);
      for (int j = 0; j < n; ++j) {
        for (int g = 0; g < groups; ++g) f(row(base, tile, g), j);
      }
    }
  }
  template <class F>
  HD void rows(int n, F f) const {
    for (int tile = begin_; tile < end_; ++tile) {
      S* base = tile_base(tile);
      const int groups = groups_of(tile);
      for (int g = 0; g < groups; ++g) {
        for (int i = 0; i < n; ++i) f(row(base, tile, g), i);
      }
    }
  }

  void linear(Linear l) const {
    const PackedLinear<S>& p = args_.linears[l.id];
    Operand<S> operands[kMaxSources];
    for (int tile = begin_; tile < end_; ++tile) {
      if (tile > begin_ && cancelled()) return;
      S* base = tile_base(tile);
      for (int repeat = 0; repeat < p.repeat; ++repeat) {
        for (int i = 0; i < p.sources; ++i) {
          const auto& source = p.source[i];
          operands[i] = {base + place(source.slot, source.dt).offset +
                             (source.begin + int64_t{repeat} * source.size) * kStride,
                         source.size};
        }
        S* out = base + place(p.out, 0).offset + int64_t{p.out_begin + repeat * p.rows} * kStride;
        product(p.forward, operands, p.sources, out, p.accumulate, rows_of(tile));
      }
    }
  }

  void adjoint(Linear l) const {
    const PackedLinear<S>& p = args_.linears[l.id];
    for (int tile = begin_; tile < end_; ++tile) {
      if (tile > begin_ && cancelled()) return;
      S* base = tile_base(tile);
      for (int repeat = 0; repeat < p.repeat; ++repeat) {
        const Operand<S> d_out = {
            base + place(p.d_out, 0).offset + int64_t{p.d_out_begin + repeat * p.rows} * kStride,
            p.rows};
        for (int i = 0; i < p.sources; ++i) {
          const auto& source = p.source[i];
          if (p.adjoint[i].data == nullptr) continue;
          S* to = base + place(source.gradient, source.dt).offset +
                  (source.begin + int64_t{repeat} * source.size) * kStride;
          product(p.adjoint[i], &d_out, 1, to, source.accumulate, rows_of(tile));
        }
      }
    }
  }

  /// Mean and 1 / sqrt(variance + eps) of `value(r, j, entry)` over all active rows of the batch
  /// and `entries` values each; biased variance, in two passes around the first active row, so that
  /// equal rows give exactly their value as the mean and exactly 0 as the variance. Training only;
  /// updates the running statistics.
  template <class F>
  void moments(BatchSite site, int features, int entries, F value);
  HD const S* mean(BatchSite site) const { return site_moments(site); }
  HD const S* rstd(BatchSite site) const {
    return site_moments(site) + args_.sites[site.id].features;
  }
  /// The statistics of a pooled site over the first `steps` steps together, each of which `moments`
  /// has seen: they stand for every step from here on, and update the running ones.
  void pool_moments(BatchSite site, int steps);
  /// Rows that take part in this step, over the whole batch.
  HD S batch_rows() const {
    return static_cast<S>(args_.active_rows != nullptr ? args_.active_rows[time_] : args_.batch);
  }

  /// Sums of two quantities over all active rows of the batch: `f(r, j, first, second)` adds to
  /// both. Returns [2][features], valid until the next reduction.
  template <class F>
  const S* sums(int features, F f);

  // What follows is for the loop over time.
  template <class F>
  HD void each_row(F f) const {
    for (int tile = begin_; tile < end_; ++tile) {
      S* base = tile_base(tile);
      const int count = rows_of(tile);
      for (int i = 0; i < count; ++i) f(TileRow<V, kStride>(base + i, int64_t{tile} * kStride + i));
    }
  }
  /// Moves rows of the public arrays into a column, a square of numbers at a time where a whole
  /// vector of rows has them; `from(b)` points at row b, or is null where it is all `fallback`.
  template <class From>
  void load_rows(TileColumn to, int size, S fallback, From from) const {
    for_groups([&](S* base, int64_t first, int count) {
      const S* rows[kWidth];
      bool all = count == kWidth;
      for (int i = 0; i < count; ++i) {
        rows[i] = from(first + i);
        all = all && rows[i] != nullptr;
      }
      S* const column = base + to.offset;
      if (all) return load_columns<V>(rows, size, column, kStride);
      for (int i = 0; i < count; ++i)
        for (int j = 0; j < size; ++j)
          column[int64_t{j} * kStride + i] = rows[i] != nullptr ? rows[i][j] : fallback;
    });
  }
  /// Likewise out of a column.
  template <class To>
  void store_rows(TileColumn from, int size, To to) const {
    for_groups([&](S* base, int64_t first, int count) {
      S* rows[kWidth];
      for (int i = 0; i < count; ++i) rows[i] = to(first + i);
      const S* const column = base + from.offset;
      if (count == kWidth) return store_columns<V>(column, kStride, size, rows);
      for (int i = 0; i < count; ++i)
        for (int j = 0; j < size; ++j) rows[i][j] = column[int64_t{j} * kStride + i];
    });
  }
  /// Adds the steps since the last time to the weight gradients that the loop sums.
  void sum_recent();
  /// Asked once a step, and between the parts of a weight gradient.
  bool stop() const {
    if (cancelled()) {
      if (args_.barrier != nullptr) args_.barrier->abandon();
      return true;
    }
    return abandoned();
  }
  S* tile_base(int tile) const { return args_.storage + tile * args_.tile_stride; }
  int rows_of(int tile) const {
    const int64_t left = args_.batch - int64_t{tile} * kStride;
    return static_cast<int>(left < kStride ? left : kStride);
  }
  int groups_of(int tile) const { return (rows_of(tile) + kWidth - 1) / kWidth; }
  int begin() const { return begin_; }
  int end() const { return end_; }
  const SlotPlace& slot(int slot) const { return args_.slots[slot]; }
  HD TileColumn place(int slot, int dt) const {
    const SlotPlace& p = args_.slots[slot];
    // Rings run on into the steps before the first, where the index turns negative.
    return {p.offset + ring_index(p, time_ + dt + p.history) * p.size * kStride};
  }
  /// Marks the rows that take part in step t (all real rows without lengths).
  void set_active(int t) {
    for (int tile = begin_; tile < end_; ++tile) {
      const int count = rows_of(tile);
      for (int i = 0; i < kStride; ++i) {
        const bool real = i < count;
        const bool running =
            real && (args_.lengths == nullptr || t < args_.lengths[int64_t{tile} * kStride + i]);
        active_[int64_t{tile} * kStride + i] = running ? S(1) : S(0);
      }
    }
  }

 private:
  /// f(base, batch row of the first lane, real rows) for every vector of rows.
  template <class F>
  void for_groups(F f) const {
    for (int tile = begin_; tile < end_; ++tile) {
      for (int i = 0; i < rows_of(tile); i += kWidth) {
        const int left = rows_of(tile) - i;
        f(tile_base(tile) + i, int64_t{tile} * kStride + i, left < kWidth ? left : kWidth);
      }
    }
  }
  HD Row row(S* base, int tile, int group) const {
    return Row(base, group * kWidth, active_ + int64_t{tile} * kStride + group * kWidth);
  }
  bool cancelled() const {
    return args_.cancel != nullptr && args_.cancel->load(std::memory_order_relaxed);
  }
  /// linear_tile; that of a large model in parts of a few milliseconds, with a look at the cancel
  /// flag between them. What a cancelled call leaves undone is never read.
  void product(const PackedMatrix<S>& m, const Operand<S>* operands, int count, S* out,
               bool accumulate, int real) const {
    const TileRows rows = {real, kStride};
    constexpr int64_t kPartWeights = int64_t{1} << 22;
    int64_t depth = 0;
    for (int i = 0; i < count; ++i) depth += operands[i].size;
    if (m.rows * depth <= kPartWeights)
      return linear_tile<V>(m, operands, count, out, accumulate, rows);
    const int64_t blocks = kPartWeights / (depth * m.block);
    const int part_rows = static_cast<int>(blocks < 1 ? 1 : blocks) * m.block;
    for (int o = 0; o < m.rows && !cancelled(); o += part_rows) {
      PackedMatrix<S> part = m;
      part.data += o * depth;
      if (part.bias != nullptr) part.bias += o;
      part.rows = m.rows - o < part_rows ? m.rows - o : part_rows;
      linear_tile<V>(part, operands, count, out + int64_t{o} * kStride, accumulate, rows);
    }
  }
  const S* site_moments(BatchSite site) const {
    const BatchSiteState<S>& s = args_.sites[site.id];
    if (fresh_) return args_.totals + worker_ * args_.partial_stride + s.total_offset;
    return s.moments + int64_t{time_} * 2 * s.features;
  }
  S* partial(int tile) const {
    return args_.partials + (int64_t{parity_} * args_.tiles + tile) * args_.partial_stride;
  }
  int active_count(int tile) const {
    int count = 0;
    for (int i = 0; i < kStride; ++i) count += active_[int64_t{tile} * kStride + i] != S(0);
    return count;
  }
  /// A cancelled call has opened the barrier for good. What is left of the step must keep off the
  /// sums, which other workers may still be reading.
  bool abandoned() const { return args_.barrier != nullptr && args_.barrier->abandoned(); }
  template <class F>
  void tile_moments(int tile, int features, int entries, F& value);
  void combine_moments(const BatchSiteState<S>& site, int entries, S* total);
  void update_running(const BatchSiteState<S>& site, S count);
  void add_to_pool(const BatchSiteState<S>& site);

  const SequenceArgs<S>& args_;
  S* active_;
  int begin_, end_, worker_;
  int time_ = 0;
  int parity_ = 0;
  bool fresh_ = false;

 public:
  /// In the forward pass of training, statistics are read from this worker's own copy.
  void read_fresh_moments(bool fresh) { fresh_ = fresh; }
};

template <class V, int kVectors>
template <class F>
void TileContext<V, kVectors>::tile_moments(int tile, int features, int entries, F& value) {
  S* base = tile_base(tile);
  S* out = partial(tile);
  const int groups = groups_of(tile);
  const S* active = active_ + int64_t{tile} * kStride;
  int first = 0;
  while (first < kStride && active[first] == S(0)) ++first;
  // The count travels with the sums: the owner of the tile may be a step ahead when others read it.
  const S count = static_cast<S>(active_count(tile) * entries);
  out[2 * features] = count;
  if (first == kStride) return;
  for (int j = 0; j < features; ++j) {
    const V pivot(lane(value(row(base, tile, first / kWidth), j, 0), first % kWidth));
    V sum(0);
    for (int g = 0; g < groups; ++g) {
      const Row r = row(base, tile, g);
      for (int e = 0; e < entries; ++e) sum += select(r.active(), value(r, j, e) - pivot, V(0));
    }
    const S mean = lane(pivot, 0) + sum_lanes(sum) / count;
    V squares(0);
    for (int g = 0; g < groups; ++g) {
      const Row r = row(base, tile, g);
      for (int e = 0; e < entries; ++e) {
        const V apart = select(r.active(), value(r, j, e) - V(mean), V(0));
        squares = fma(apart, apart, squares);
      }
    }
    out[j] = mean;
    out[features + j] = sum_lanes(squares);
  }
}

template <class V, int kVectors>
void TileContext<V, kVectors>::combine_moments(const BatchSiteState<S>& site, int entries,
                                               S* total) {
  const int F = site.features;
  const S all = batch_rows() * static_cast<S>(entries);
  for (int j = 0; j < F; ++j) {
    S pivot(0), shift(0), squares(0);
    bool found = false;
    for (int pass = 0; pass < 2; ++pass) {
      for (int tile = 0; tile < args_.tiles; ++tile) {
        const S* p = partial(tile);
        const S count = p[2 * F];
        if (count == S(0)) continue;
        if (pass == 0) {
          if (!found) pivot = p[j];
          found = true;
          shift += count * (p[j] - pivot) / all;
        } else {
          const S apart = p[j] - (pivot + shift);
          squares += p[F + j] + count * apart * apart;
        }
      }
    }
    total[j] = pivot + shift;
    total[F + j] = all > S(0) ? squares / all : S(0);
  }
}

template <class V, int kVectors>
void TileContext<V, kVectors>::update_running(const BatchSiteState<S>& site, S count) {
  if (site.running_mean == nullptr || count == S(0)) return;
  const int F = site.features;
  const int stat_row = time_ < site.stat_rows ? time_ : site.stat_rows - 1;
  const S* total = args_.totals + worker_ * args_.partial_stride + site.total_offset;
  S* mean = site.running_mean + int64_t{stat_row} * F;
  S* var = site.running_var + int64_t{stat_row} * F;
  const S rho = args_.batch_momentum;
  for (int j = 0; j < F; ++j) {
    mean[j] = (S(1) - rho) * mean[j] + rho * total[j];
    if (count <= S(1)) continue;
    const S apart = args_.batch_unbiased ? total[F + j] * count / (count - S(1)) : total[F + j];
    var[j] = (S(1) - rho) * var[j] + rho * apart;
  }
}

template <class V, int kVectors>
template <class F>
void TileContext<V, kVectors>::moments(BatchSite id, int features, int entries, F value) {
  const BatchSiteState<S>& site = args_.sites[id.id];
  if (abandoned()) return;
  parity_ ^= 1;
  for (int tile = begin_; tile < end_; ++tile) tile_moments(tile, features, entries, value);
  if (args_.barrier != nullptr && !args_.barrier->wait()) return;
  S* total = args_.totals + worker_ * args_.partial_stride + site.total_offset;
  combine_moments(site, entries, total);
  if (site.pooled) return add_to_pool(site);
  if (worker_ == 0) update_running(site, batch_rows() * static_cast<S>(entries));
  for (int j = 0; j < features; ++j) {
    total[features + j] = S(1) / lookback::sqrt(total[features + j] + args_.batch_eps);
  }
  if (worker_ == 0 && site.moments != nullptr) {
    S* kept = site.moments + int64_t{time_} * 2 * features;
    for (int j = 0; j < 2 * features; ++j) kept[j] = total[j];
  }
}

/// Behind a pooled site's numbers: the mean of the means so far, and the sum of all squares about
/// it divided by the rows. Every worker keeps its own, all the same.
template <class V, int kVectors>
void TileContext<V, kVectors>::add_to_pool(const BatchSiteState<S>& site) {
  const int F = site.features;
  const S* total = args_.totals + worker_ * args_.partial_stride + site.total_offset;
  S* pool = args_.totals + worker_ * args_.partial_stride + site.total_offset + 2 * F;
  const S before = static_cast<S>(time_);
  for (int j = 0; j < F; ++j) {
    if (time_ == 0) pool[j] = pool[F + j] = S(0);
    const S apart = total[j] - pool[j];
    pool[j] += apart / (before + S(1));
    pool[F + j] += total[F + j] + apart * apart * before / (before + S(1));
  }
}

template <class V, int kVectors>
void TileContext<V, kVectors>::pool_moments(BatchSite id, int steps) {
  const BatchSiteState<S>& site = args_.sites[id.id];
  if (abandoned()) return;
  const int F = site.features;
  S* total = args_.totals + worker_ * args_.partial_stride + site.total_offset;
  for (int j = 0; j < F; ++j) {
    total[j] = total[2 * F + j];
    total[F + j] = total[3 * F + j] / static_cast<S>(steps);
  }
  if (worker_ == 0) update_running(site, static_cast<S>(args_.batch * steps));
  for (int j = 0; j < F; ++j) total[F + j] = S(1) / lookback::sqrt(total[F + j] + args_.batch_eps);
  for (int t = 0; worker_ == 0 && t < steps; ++t) {
    S* kept = site.moments + int64_t{t} * 2 * F;
    for (int j = 0; j < 2 * F; ++j) kept[j] = total[j];
  }
}

template <class V, int kVectors>
template <class F>
const ScalarOf<V>* TileContext<V, kVectors>::sums(int features, F f) {
  S* total = args_.totals + worker_ * args_.partial_stride;
  if (abandoned()) return total;
  parity_ ^= 1;
  for (int tile = begin_; tile < end_; ++tile) {
    S* base = tile_base(tile);
    S* out = partial(tile);
    const int groups = groups_of(tile);
    for (int j = 0; j < features; ++j) {
      V first(0), second(0);
      for (int g = 0; g < groups; ++g) {
        const Row r = row(base, tile, g);
        V a(0), b(0);
        f(r, j, a, b);
        first += select(r.active(), a, V(0));
        second += select(r.active(), b, V(0));
      }
      out[j] = sum_lanes(first);
      out[features + j] = sum_lanes(second);
    }
  }
  if (args_.barrier != nullptr && !args_.barrier->wait()) return total;
  for (int j = 0; j < 2 * features; ++j) {
    S sum(0);
    for (int tile = 0; tile < args_.tiles; ++tile) sum += partial(tile)[j];
    total[j] = sum;
  }
  return total;
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
