/// The GPU's execution context: the threads of a block share some batch rows for the whole sequence
/// and meet in a barrier after every operation of a program. The same text runs as CUDA threads
/// and, for tests without a GPU, on the host (emulated.h): `Threads` gives thread(), threads(),
/// block(), blocks() and sync(site).
///
/// One context serves two drivers. The resident one runs a whole pass in one kernel, with columns
/// and weights in shared memory where they fit. The stepwise one runs, launch by launch, the
/// operations between two products of one step; the products are large ones over the whole batch.
/// Programs are the same: the context counts products and reductions as a program runs through
/// them, and takes part in the phase that the launch names.
#pragma once

#include "backend/cuda/block_args.h"
#include "backend/cuda/block_held.h"
#include "backend/cuda/block_product.h"
#include "backend/cuda/block_reduction.h"
#include "backend/cuda/block_sync.h"
#include "base/portable.h"
#include "cells/cell.h"
#include "math/scalar.h"

namespace lookback {

/// One batch row of a block, as programs and the loop over time see it.
template <class S>
class BlockRow {
 public:
  HD BlockRow(int row, const S* active, int64_t batch, int first = 0, int stride = 1)
      : row_(row), first_(first), stride_(stride), active_(active), batch_(batch) {}
  HD S& operator()(BlockColumn<S> c, int j) const { return c.base[row_ * c.stride + j]; }
  HD S& at(BlockColumn<S> c, int j) const { return (*this)(c, j); }
  HD S active() const { return *active_; }
  HD void add(BlockColumn<S> total, int j, S number) const { (*this)(total, j) += number; }
  HD int64_t batch() const { return batch_; }
  HD int first() const { return first_; }
  HD int stride() const { return stride_; }

 private:
  int row_, first_, stride_;
  const S* active_;
  int64_t batch_;
};

/// `kQuads`: of weights that a thread holds of the one product that the program has; 0: there is
/// none or it has others.
template <class Threads, class Scalar, int kQuads = 0>
class BlockContext {
 public:
  using Number = Scalar;
  using S = Scalar;
  using Column = BlockColumn<S>;
  using Row = BlockRow<S>;

  HD BlockContext(Threads threads, const BlockPlaces<S>& places, const BlockWork& work)
      : threads_(threads), places_(places), args_(places.args), work_(work) {}

  HD int time() const { return time_; }
  HD bool training() const { return args_.walk.training; }
  HD int initial_entries() const { return args_.walk.initial_entries; }
  HD bool default_start() const { return args_.walk.default_start; }
  /// Whether the caller gave the initial value of state `i`, in the order of Declaration::states.
  HD bool state_given(int i) const { return args_.walk.state[i].initial != nullptr; }
  HD Column at(Slot slot, int dt = 0) const { return place(slot.id, dt); }
  HD const S* vector(Vector v) const { return args_.vectors[v.id]; }
  HD bool given(int sequence) const { return args_.walk.sequence[sequence].data != nullptr; }
  HD Slot sequence_slot(int sequence) const {
    return {args_.walk.sequence[sequence].slot, args_.walk.sequence[sequence].size};
  }

  /// Neighbouring threads take neighbouring units.
  template <class F>
  HD void each(int n, F f) const {
    if (!here()) return;
    const int threads = threads_.threads(), lanes = n < threads ? n : threads;
    const int groups = lanes > 0 ? threads / lanes : 0;
    const int group = lanes > 0 ? threads_.thread() / lanes : groups;
    if (group < groups) {
      for (int i = group; i < places_.rows; i += groups) {
        const Row r = row(i);
        for (int j = threads_.thread() % lanes; j < n; j += lanes) f(r, j);
      }
    }
    threads_.sync(SyncSite::kOperation);
  }
  template <class F>
  HD void rows(int n, F f) const {
    each(n, f);
  }

  HD void linear(Linear l) {
    ++count_;
    const BlockProduct<S>& product = args_.linears[l.id].forward;
    if (work_.phase >= 0 || (product.sources == 0 && product.bias == nullptr)) return;
    held_.multiply(threads_, places_, time_, product);
  }
  HD void adjoint(Linear l) {
    ++count_;
    if (work_.phase >= 0) return;
    const BlockLinear<S>& linear = args_.linears[l.id];
    for (int i = 0; i < linear.adjoints; ++i)
      held_.multiply(threads_, places_, time_, linear.adjoint[i]);
  }

  /// Statistics around the first active row, as on the CPU, or that of a thread's part of the rows.
  template <class F>
  HD void moments(BatchSite id, int features, int entries, F value) {
    ++count_;
    if (reduces()) {
      S* const told = next_message();
      const ReductionShare share(threads_, work_.batchwise);
      const ReductionSlice slice = share.slice(places_.rows, entries);
      for (int j = share.first(); share.goes_on(j, features); j += share.stride()) {
        Spread<S> own = {S(0), S(0), S(0)};
        if (j < features) own = spread(j, entries, slice, value);
        own = share.total(threads_, own, room<Spread<S>>());
        if (!share.tells(j, features)) continue;
        if (told == nullptr) {
          set_moments(id, j, own);
        } else {
          told[j] = own.mean;
          told[features + j] = own.squares;
          if (j == 0) told[args_.message - kCountBehind] = own.count;
        }
      }
      if (told != nullptr) {
        meet(SyncSite::kSums);
        for (int j = share.first(); j < features; j += share.stride())
          set_moments(id, j, whole_spread(told, features, j));
      }
      threads_.sync(SyncSite::kReduction);
    }
    ++count_;
  }
  /// Of a pooled site, whose `moments` has left mean and variance of every step: those of all steps
  /// together.
  HD void pool_moments(BatchSite id, int steps) {
    ++count_;
    if (reduces()) {
      const BatchSiteState<S>& site = args_.sites[id.id];
      const int F = site.features;
      S* const moments = own_moments(site);
      const ReductionShare share(threads_, work_.batchwise);
      for (int j = share.first(); share.tells(j, F); j += share.stride()) {
        S mean(0), squares(0);
        for (int t = 0; t < steps; ++t) {
          const S* one = moments + int64_t{t} * 2 * F;
          const S apart = one[j] - mean;
          mean += apart / S(t + 1);
          squares += one[F + j] + apart * apart * S(t) / S(t + 1);
        }
        const S variance = squares / S(steps);
        update_running(site, j, S(args_.walk.batch * steps), mean, variance);
        for (int t = 0; t < steps; ++t) {
          S* one = moments + int64_t{t} * 2 * F;
          one[j] = mean;
          one[F + j] = S(1) / sqrt(variance + args_.walk.batch_eps);
        }
      }
      threads_.sync(SyncSite::kReduction);
    }
    ++count_;
  }
  HD const S* mean(BatchSite site) const {
    const BatchSiteState<S>& state = args_.sites[site.id];
    return own_moments(state) + int64_t{time_} * 2 * state.features;
  }
  HD const S* rstd(BatchSite site) const { return mean(site) + args_.sites[site.id].features; }
  HD S batch_rows() const {
    const int64_t* rows = args_.walk.active_rows;
    return static_cast<S>(rows != nullptr ? rows[time_] : args_.walk.batch);
  }

  template <class F>
  HD const S* sums(int features, F f) {
    S* const total = args_.walk.totals + int64_t{places_.share} * args_.message;
    ++count_;
    if (reduces()) {
      S* const told = next_message();
      S* const to = told == nullptr ? total : told;
      const ReductionShare share(threads_, work_.batchwise);
      const ReductionSlice slice = share.slice(places_.rows, 1);
      for (int j = share.first(); share.goes_on(j, features); j += share.stride()) {
        SumPair<S> own = {S(0), S(0)};
        if (j < features) own = sum(j, slice, f);
        own = share.total(threads_, own, room<SumPair<S>>());
        if (!share.tells(j, features)) continue;
        to[j] = own.first;
        to[features + j] = own.second;
      }
      if (told != nullptr) {
        meet(SyncSite::kSums);
        for (int i = threads_.thread(); i < 2 * features; i += threads_.threads()) {
          S all(0);
          for (int rank = 0; rank < args_.shares; ++rank) all += threads_.peer(told, rank)[i];
          total[i] = all;
        }
      }
      threads_.sync(SyncSite::kReduction);
    }
    ++count_;
    return total;
  }

  // What follows is for the loop over time.
  /// Whether what leaves for the caller's arrays is this block's to write: the blocks of a cluster
  /// all have the same numbers.
  HD bool stores() const { return places_.rank == 0; }
  HD void set_time(int t) { time_ = t; }
  HD void read_fresh_moments(bool) {}
  HD void set_active(int t) {
    const int32_t* lengths = args_.walk.lengths;
    S* const active = places_.active - places_.begin;
    each(1, [=](Row r, int) {
      active[r.batch()] = lengths == nullptr || t < lengths[r.batch()] ? S(1) : S(0);
    });
  }
  template <class F>
  HD void each_row(F f) const {
    if (!here()) return;
    const int threads = threads_.threads();
    const int lanes = places_.rows == 0        ? threads
                      : places_.rows < threads ? threads / places_.rows
                                               : 1;
    const int group = threads_.thread() / lanes, groups = threads / lanes;
    if (group < groups) {
      for (int i = group; i < places_.rows; i += groups)
        f(row(i, threads_.thread() % lanes, lanes));
    }
    threads_.sync(SyncSite::kOperation);
  }
  /// All threads of a block must agree, so one asks for all; and all blocks of a cluster, so the
  /// first one tells the others. By the next time all have read that, since every step has a
  /// product.
  HD bool stop() {
    if (work_.phase >= 0 || time_ % Threads::kStopEvery != 0) return false;
    if (args_.shares > 1) return stops_everywhere();
    if (args_.cluster == 1) return threads_.agree(args_.walk.cancel);
    S* const told = places_.active + args_.rows;
    const bool stops = stores() && threads_.agree(args_.walk.cancel);
    for (int rank = threads_.thread(); stores() && rank < args_.cluster; rank += threads_.threads())
      *threads_.peer(told, rank) = stops ? S(1) : S(0);
    meet(SyncSite::kStop);
    return *told != S(0);
  }
  HD const SlotPlace& slot(int slot) const { return args_.slots[slot]; }
  HD Column place(int slot, int dt) const { return places_.column(slot, time_ + dt); }

  /// Gradients on their way to earlier steps: all of them and the sums, or the oldest column.
  HD void zero_carried(bool all) const {
    if (!here()) return;
    for (int s = 0; s < args_.slot_count; ++s) {
      const BlockSlot& p = args_.slots[s];
      if (!p.carry && !(all && p.sum)) continue;
      for (int back = all ? 0 : p.history; back <= p.history; ++back)
        zero(place(s, -back), p.stride);
    }
    threads_.sync(SyncSite::kOperation);
  }

  /// Before the first operation of a kernel: weights and rings come into shared memory.
  HD void open(bool backward) {
    held_.load(threads_, backward ? args_.linears[0].adjoint[0] : args_.linears[0].forward);
    if (!staged()) return;
    backward_ = backward;
    for (int l = 0; l < kMaxBlockLinears; ++l) {
      const BlockLinear<S>& linear = args_.linears[l];
      if (!backward) load_weights(linear.forward);
      for (int i = 0; backward && i < linear.adjoints; ++i) load_weights(linear.adjoint[i]);
    }
    move_rings(kLoadAll);
    if (args_.cluster > 1) meet(SyncSite::kBegun);
  }
  /// No block of a cluster writes to another behind the last product, whose end all have seen: so
  /// each may leave. Shares of a batch are read by others until all have come here.
  HD void close() const {
    if (!staged()) return;
    if (stores()) move_rings(kStoreAll);
    if (args_.shares > 1) meet(SyncSite::kLeave);
  }
  HD void begin_step() {
    if (!staged()) return;
    for (int s = 0; s < args_.slot_count; ++s) {
      const BlockSlot& p = args_.slots[s];
      if ((p.staging & kLoadStep) == 0) continue;
      if (!backward_) {
        move(s, time_, true);
      } else {
        for (int back = opened_ ? p.reach : 0; back <= p.reach; ++back) move(s, time_ - back, true);
      }
    }
    opened_ = true;
  }
  HD void end_step() const {
    if (!staged() || !stores()) return;
    for (int s = 0; s < args_.slot_count; ++s) {
      if ((args_.slots[s].staging & kStoreStep) != 0) move(s, time_, false);
    }
  }

 private:
  /// Whether the operation at hand belongs to this launch.
  HD bool here() const { return work_.phase < 0 || (work_.phase == count_ && !work_.batchwise); }
  HD bool reduces() const { return work_.phase < 0 || work_.phase == count_; }
  HD bool staged() const { return places_.shared != nullptr && work_.phase < 0; }

  HD Row row(int i, int first = 0, int stride = 1) const {
    return Row(i, places_.active + i, places_.begin + i, first, stride);
  }
  template <class F>
  HD void for_active(const ReductionSlice& slice, F f) const {
    for (int i = slice.row; i < places_.rows; i += slice.row_stride) {
      const Row r = row(i);
      if (r.active() != S(0)) f(r);
    }
  }
  /// Of the block's active rows, or of a part of them.
  template <class F>
  HD Spread<S> spread(int j, int entries, const ReductionSlice& slice, F& value) const {
    const int own = (entries - slice.entry + slice.entry_stride - 1) / slice.entry_stride;
    S count(0), pivot(0), sum(0), squares(0);
    for_active(slice, [&](Row r) {
      if (count == S(0)) pivot = value(r, j, slice.entry);
      count += S(own);
      for (int e = slice.entry; e < entries; e += slice.entry_stride) sum += value(r, j, e) - pivot;
    });
    const S mean = count > S(0) ? pivot + sum / count : S(0);
    for_active(slice, [&](Row r) {
      for (int e = slice.entry; e < entries; e += slice.entry_stride) {
        const S apart = value(r, j, e) - mean;
        squares = fma(apart, apart, squares);
      }
    });
    return {count, mean, squares};
  }
  template <class F>
  HD SumPair<S> sum(int j, const ReductionSlice& slice, F& f) const {
    SumPair<S> own = {S(0), S(0)};
    for_active(slice, [&](Row r) {
      SumPair<S> more = {S(0), S(0)};
      f(r, j, more.first, more.second);
      own.add(more);
    });
    return own;
  }
  /// In shared memory, which a launch that cuts features among threads has for nothing else.
  template <class Part>
  HD Part* room() const {
    static_assert(sizeof(Part) <= kReductionNumbers * sizeof(S));
    return reinterpret_cast<Part*>(places_.shared);
  }
  /// Of all shares' rows, whose messages lie where `told` does here: one after the other, so that
  /// every block comes to the same bits.
  HD Spread<S> whole_spread(S* told, int features, int j) const {
    Spread<S> whole = {S(0), S(0), S(0)};
    for (int share = 0; share < args_.shares; ++share) {
      const S* const their = threads_.peer(told, share);
      whole.add({their[args_.message - kCountBehind], their[j], their[features + j]});
    }
    return whole;
  }
  HD void set_moments(BatchSite id, int j, const Spread<S>& whole) const {
    const BatchSiteState<S>& site = args_.sites[id.id];
    const S variance = whole.count > S(0) ? whole.squares / whole.count : S(0);
    S* const out = own_moments(site) + int64_t{time_} * 2 * site.features;
    out[j] = whole.mean;
    out[site.features + j] = variance;
    if (site.pooled) return;
    update_running(site, j, whole.count, whole.mean, variance);
    out[site.features + j] = S(1) / sqrt(variance + args_.walk.batch_eps);
  }
  /// Each share of a batch has the statistics for itself.
  HD S* own_moments(const BatchSiteState<S>& site) const {
    return site.moments + int64_t{places_.share} * args_.walk.steps * 2 * site.features;
  }

  /// Where a block with a share of the batch writes what the others read behind the next barrier of
  /// all; null: it is alone. Two places in turn: whoever writes to one of them again has met the
  /// others since they read it.
  HD S* next_message() {
    if (args_.shares == 1) return nullptr;
    second_ = !second_;
    return places_.shared + args_.common + (second_ ? args_.message : 0);
  }
  static constexpr int kCountBehind = 2, kStopBehind = 1;  ///< from a message's end
  HD bool stops_everywhere() {
    S* const told = next_message() + args_.message - kStopBehind;
    const bool stops = places_.share == 0 && threads_.agree(args_.walk.cancel);
    if (places_.share == 0 && threads_.thread() == 0) *told = stops ? S(1) : S(0);
    meet(SyncSite::kStop);
    return *threads_.peer(told, 0) != S(0);
  }

  HD void update_running(const BatchSiteState<S>& site, int j, S count, S mean, S variance) const {
    if (site.running_mean == nullptr || count == S(0) || places_.share > 0) return;
    const int stat_row = time_ < site.stat_rows ? time_ : site.stat_rows - 1;
    const S rho = args_.walk.batch_momentum;
    S& running_mean = site.running_mean[int64_t{stat_row} * site.features + j];
    S& running_var = site.running_var[int64_t{stat_row} * site.features + j];
    running_mean = (S(1) - rho) * running_mean + rho * mean;
    if (count <= S(1)) return;
    const S apart = args_.walk.batch_unbiased ? variance * count / (count - S(1)) : variance;
    running_var = (S(1) - rho) * running_var + rho * apart;
  }

  HD void zero(Column column, int size) const {
    const int all = places_.rows * size;
    for (int i = threads_.thread(); i < all; i += threads_.threads()) column.base[i] = S(0);
  }
  HD void copy(const S* from, S* to, int64_t count) const {
    for (int64_t i = threads_.thread(); i < count; i += threads_.threads()) to[i] = from[i];
  }
  /// All blocks of a cluster.
  HD void meet(SyncSite site) const {
    threads_.arrive(site);
    threads_.wait(site);
  }
  /// Of the outputs that the block has.
  HD void load_weights(const BlockProduct<S>& product) const {
    const OwnOutputs<S> own(places_, product);
    const int64_t line = int64_t{4} * own.count, far_line = int64_t{4} * product.rows;
    for (int i = 0; i < product.sources; ++i) {
      const auto& source = product.source[i];
      const S* const from = source.weights + 4 * own.begin;
      S* const to = places_.shared + source.shared;
      if (line == far_line) {
        copy(from, to, source.shared_quads * line);
      } else {
        for (int64_t at = threads_.thread(); at < source.shared_quads * line;
             at += threads_.threads())
          to[at] = from[at / line * far_line + at % line];
      }
    }
  }
  /// The block's rows of one column. Columns of steps that do not exist are left alone.
  HD void move(int s, int t, bool load) const {
    const BlockSlot& p = args_.slots[s];
    if (t < -p.history) return;
    const Column near = places_.column(s, t), far = places_.global_column(p, t);
    const int64_t count = int64_t{places_.rows} * p.stride;
    if (load) {
      copy(far.base, near.base, count);
    } else {
      copy(near.base, far.base, count);
    }
  }
  HD void move_rings(BlockStaging which) const {
    for (int s = 0; s < args_.slot_count; ++s) {
      const BlockSlot& p = args_.slots[s];
      if ((p.staging & which) == 0) continue;
      // Rings have a column more than the steps before the first.
      for (int i = 0; i <= p.reach && i < p.depth; ++i) move(s, i - p.reach, which == kLoadAll);
    }
  }

  Threads threads_;
  const BlockPlaces<S>& places_;
  const BlockArgs<S>& args_;
  const BlockWork& work_;
  int time_ = 0;
  int count_ = 0;  ///< products and reductions that the program has passed
  bool backward_ = false, opened_ = false, second_ = false;
  HeldProduct<Threads, S, kQuads> held_;
};

}  // namespace lookback
