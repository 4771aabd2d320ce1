/// Products of packed weights with columns, by the threads of one block.
///
/// A thread takes one output for up to eight rows: a weight is read once for all of them, four
/// neighbours in the sum at a time. Products of few outputs are cut along the sum as well, and the
/// parts are added in order. A row's arithmetic depends neither on the other rows nor on the number
/// of threads.
///
/// Of the blocks of a cluster each has all columns, and computes some outputs for all of them.
#pragma once

#include "backend/cuda/block_args.h"
#include "backend/cuda/block_sync.h"
#include "base/portable.h"
#include "math/scalar.h"

/// A function that kernels call: one body for all callers.
#if defined(__CUDACC__)
#define HD_CALL __host__ __device__ __noinline__
#else
#define HD_CALL
#endif

namespace lookback {

/// Four neighbours, read at once where they are aligned.
template <class S>
struct alignas(4 * sizeof(S) < 16 ? 4 * sizeof(S) : 16) Quad {
  S v[4];
};

/// A column as one block sees it: row r, unit j is base[r * stride + j].
template <class S>
struct BlockColumn {
  S* base = nullptr;
  int32_t stride = 0;
};

/// Where the block stands in memory.
template <class S>
struct BlockPlaces {
  const BlockArgs<S>& args;
  S* shared;      ///< null: nothing is there
  int64_t begin;  ///< first row of the block
  int rows;       ///< real ones
  int rank;       ///< of the block among those with the same rows
  int share;      ///< of the batch, where blocks divide it
  S* active;      ///< [rows] 1 where a row takes part in the step

  HD BlockColumn<S> column(int slot, int t) const {
    const BlockSlot& p = args.slots[slot];
    if (p.shared >= 0 && shared != nullptr) {
      const int depth = p.reach + 1;
      int index = (t + p.reach) % depth;
      if (index < 0) index += depth;
      return {shared + p.shared + index * args.rows * p.stride, p.stride};
    }
    return global_column(p, t);
  }
  HD BlockColumn<S> global_column(const BlockSlot& p, int t) const {
    int index = t + p.history;
    // Rings run on into the steps before the first, where the index turns negative.
    if (index >= p.depth || index < 0) index = ((index % p.depth) + p.depth) % p.depth;
    return {args.walk.storage + p.offset + (index * args.padded + begin) * p.stride, p.stride};
  }
};

/// The outputs of a product's matrix that a block has.
template <class S>
struct OwnOutputs {
  int begin, count;

  HD OwnOutputs(const BlockPlaces<S>& places, const BlockProduct<S>& p) : begin(0), count(p.rows) {
    if (places.args.cluster == 1) return;
    const int part = cluster_part(p.rows, places.args.cluster), left = p.rows - places.rank * part;
    begin = places.rank * part;
    count = left < 0 ? 0 : left < part ? left : part;
  }
};

/// Adds quads [first, last) of a source's sum to those of R rows, whose numbers lie at `from` +
/// offset[r].
template <int R, class S>
HD void add_quads(const S* weights, int outputs, int o, const S* from, const int (&offset)[R],
                  int size, bool aligned, int first, int last, S (&sum)[R]) {
  for (int q = first; q < last; ++q) {
    const Quad<S> w = *reinterpret_cast<const Quad<S>*>(weights + 4 * (int64_t{q} * outputs + o));
    const int left = size - 4 * q;
    if (aligned && left >= 4) {
      UNROLL(8)
      for (int r = 0; r < R; ++r) {
        const Quad<S> s = *reinterpret_cast<const Quad<S>*>(from + offset[r] + 4 * q);
        sum[r] = fma(w.v[0], s.v[0], sum[r]);
        sum[r] = fma(w.v[1], s.v[1], sum[r]);
        sum[r] = fma(w.v[2], s.v[2], sum[r]);
        sum[r] = fma(w.v[3], s.v[3], sum[r]);
      }
    } else {
      UNROLL(4)
      for (int i = 0; i < 4; ++i) {
        if (i >= left) break;
        UNROLL(8)
        for (int r = 0; r < R; ++r) sum[r] = fma(w.v[i], from[offset[r] + 4 * q + i], sum[r]);
      }
    }
  }
}

/// The product for groups of R rows.
template <int R, class S>
class ProductTile {
 public:
  HD ProductTile(const BlockPlaces<S>& places, int time, const BlockProduct<S>& product)
      : places_(places),
        time_(time),
        p_(product),
        own_(places, product),
        outputs_(own_.count * product.repeat),
        groups_((places.rows + R - 1) / R) {}

  template <class Threads>
  HD void run(Threads threads) const {
    // The other blocks may still read what the results replace.
    const bool alone = places_.args.cluster == 1;
    if (!alone) threads.arrive(SyncSite::kExchange);
    if (p_.chunks == 1) {
      bool waits = !alone;
      for (int item = threads.thread(); item < outputs_ * groups_; item += threads.threads()) {
        const int output = item % outputs_, first = item / outputs_ * R;
        S sum[R];
        add(output, first, 0, quads(), sum);
        if (waits) threads.wait(SyncSite::kExchange);
        waits = false;
        leave(threads, output, 0, first, sum);
      }
      if (waits) threads.wait(SyncSite::kExchange);
    } else {
      const int together = groups_at_once(), all = quads();
      for (int group = 0; group < groups_; group += together) {
        const int count = group + together < groups_ ? together : groups_ - group;
        if (group > 0) threads.sync(SyncSite::kProduct);
        share(threads, group, count, all);
        threads.sync(SyncSite::kPartials);
        if (!alone && group == 0) threads.wait(SyncSite::kExchange);
        join(threads, group, count);
      }
    }
    if (alone) return threads.sync(SyncSite::kProduct);
    threads.arrive(SyncSite::kExchanged);
    threads.wait(SyncSite::kExchanged);
  }

  /// Sums of the rows from `row` on: an output's, or, where sums are cut, number `part` of the
  /// parts that `join` adds.
  template <class Threads>
  HD void leave(Threads threads, int output, int part, int row, const S (&sum)[R]) const {
    if (p_.chunks > 1) {
      UNROLL(8)
      for (int r = 0; r < R; ++r) partials()[(part * R + r) * outputs_ + output] = sum[r];
      return;
    }
    const BlockColumn<S> out = places_.column(p_.out, time_ + p_.out_dt);
    UNROLL(8)
    for (int r = 0; r < R; ++r) {
      if (row + r < places_.rows) finish(threads, out, row + r, output, sum[r]);
    }
  }
  /// The parts of `count` groups of rows from `group` on, in order.
  template <class Threads>
  HD void join(Threads threads, int group, int count) const {
    const BlockColumn<S> out = places_.column(p_.out, time_ + p_.out_dt);
    for (int item = threads.thread(); item < count * R * outputs_; item += threads.threads()) {
      const int output = item % outputs_, row = item / outputs_, own = row / R;
      if (group * R + row >= places_.rows) continue;
      const S* from = partials() + (own * p_.chunks * R + row % R) * outputs_ + output;
      S sum = from[0];
      for (int chunk = 1; chunk < p_.chunks; ++chunk) sum += from[chunk * R * outputs_];
      finish(threads, out, group * R + row, output, sum);
    }
  }

 private:
  HD int quads() const {
    int all = 0;
    for (int i = 0; i < p_.sources; ++i) all += (p_.source[i].size + 3) / 4;
    return all;
  }
  HD int groups_at_once() const {
    const int group = p_.chunks * outputs_ * R;
    return group > 0 && group < places_.args.partial_numbers ? places_.args.partial_numbers / group
                                                             : 1;
  }
  HD S* partials() const { return places_.shared + places_.args.partials; }

  template <class Threads>
  HD void share(Threads threads, int group, int count, int all) const {
    const int per_group = p_.chunks * outputs_;
    for (int item = threads.thread(); item < count * per_group; item += threads.threads()) {
      const int output = item % outputs_, rest = item / outputs_;
      const int chunk = rest % p_.chunks, own = rest / p_.chunks;
      S sum[R];
      add(output, (group + own) * R, all * chunk / p_.chunks, all * (chunk + 1) / p_.chunks, sum);
      leave(threads, output, rest, (group + own) * R, sum);
    }
  }

  HD int repeat_of(int output) const { return p_.repeat == 1 ? 0 : output / own_.count; }
  /// Quads [first, last), counted through the sources, of one output and the rows from `row` on.
  HD void add(int output, int row, int first, int last, S (&sum)[R]) const {
    const int repeat = repeat_of(output), o = output - repeat * own_.count;
    UNROLL(8)
    for (int r = 0; r < R; ++r) sum[r] = S(0);
    for (int i = 0; i < p_.sources; ++i) {
      const auto& source = p_.source[i];
      const int here = (source.size + 3) / 4;
      const int begin = first < 0 ? 0 : first < here ? first : here;
      const int end = last < here ? last : here;
      if (begin < end) {
        const BlockColumn<S> from = places_.column(source.slot, time_ + source.dt);
        const int unit = source.begin + repeat * source.size;
        int offset[R];
        UNROLL(8)
        for (int r = 0; r < R; ++r) {
          const int last_row = places_.rows - 1;
          offset[r] = (row + r < last_row ? row + r : last_row) * from.stride + unit;
        }
        const bool aligned = from.stride % 4 == 0 && unit % 4 == 0;
        // Once for the near weights, once for the far ones.
        const int near = source.shared_quads < end ? source.shared_quads : end;
        for (int part = 0; part < 2; ++part) {
          const S* weights = part == 0 ? places_.shared + source.shared : source.weights;
          const int outputs = part == 0 ? own_.count : p_.rows;
          add_quads<R>(weights, outputs, part == 0 ? o : own_.begin + o, from.base, offset,
                       source.size, aligned, part == 0 || begin > near ? begin : near,
                       part == 0 ? near : end, sum);
        }
      }
      first -= here;
      last -= here;
      if (last <= 0) break;
    }
  }

  template <class Threads>
  HD void finish(Threads threads, BlockColumn<S> out, int row, int output, S sum) const {
    const int repeat = repeat_of(output), o = own_.begin + output - repeat * own_.count;
    S* const to = out.base + row * out.stride + p_.out_begin + repeat * p_.rows + o;
    const S initial = p_.accumulate ? *to : S(0);
    const S result = (p_.bias != nullptr ? initial + p_.bias[o] : initial) + sum;
    if (places_.args.cluster == 1) {
      *to = result;
      return;
    }
    for (int rank = 0; rank < places_.args.cluster; ++rank) *threads.peer(to, rank) = result;
  }

  const BlockPlaces<S>& places_;
  int time_;
  const BlockProduct<S>& p_;
  OwnOutputs<S> own_;
  int outputs_, groups_;
};

/// Not inlined: every operation of every cell shares one body.
template <class Threads, class S>
HD_CALL void block_product(Threads threads, const BlockPlaces<S>& places, int time,
                           const BlockProduct<S>& product) {
  int tile = places.rows > 4 ? 8 : places.rows > 2 ? 4 : places.rows;
  if (places.args.cluster > 1) {
    // Part of the outputs is too few for all threads, unless each takes fewer rows.
    const int items = OwnOutputs<S>(places, product).count * product.repeat * product.chunks;
    while (tile > 1 && items * ((places.rows + tile - 1) / tile) < threads.threads()) tile /= 2;
  }
  // A thread's registers hold half as many sums of doubles.
  if (sizeof(S) == 4 && tile == 8) {
    ProductTile<sizeof(S) == 4 ? 8 : 4, S>(places, time, product).run(threads);
  } else if (tile > 2 || (sizeof(S) == 8 && tile == 2)) {
    ProductTile<4, S>(places, time, product).run(threads);
  } else if (tile == 2) {
    ProductTile<sizeof(S) == 4 ? 2 : 4, S>(places, time, product).run(threads);
  } else {
    ProductTile<1, S>(places, time, product).run(threads);
  }
}

}  // namespace lookback
