/// A product whose weights stay in the registers of a block's threads for a whole pass, for cells
/// with one small product a step. Beside those in shared memory (block_product.h), a step then
/// reads only the numbers that are multiplied, which all threads of a warp get at once. How sums
/// are cut and added is the same, so the results are too, bit by bit.
#pragma once

#include "backend/cuda/block_product.h"

namespace lookback {

/// Quads of weights that a thread holds at most: a quarter of its registers. (Loops over them are
/// unrolled by that number: an array whose indices are not known is no register.)
constexpr int kHeldQuads = 16;

/// `kQuads` 0: nothing is held.
template <class Threads, class S, int kQuads>
class HeldProduct {
 public:
  /// A share is one output's part of the sum. On a GPU a thread has one of them.
  static constexpr int kShares = Threads::kHeldShares;

  /// Before the first step.
  HD void load(Threads threads, const BlockProduct<S>& p) {
    const auto& source = p.source[0];
    const int all = (source.size + 3) / 4;
    for (int i = 0; i < kShares; ++i) {
      const int share = threads.thread() + i * threads.threads();
      if (share >= p.chunks * p.rows) return;
      const int output = share % p.rows, chunk = share / p.rows;
      const int first = all * chunk / p.chunks, count = all * (chunk + 1) / p.chunks - first;
      UNROLL(16)
      for (int q = 0; q < kQuads; ++q) {
        if (q < count)
          held_[i][q] = *reinterpret_cast<const Quad<S>*>(
              source.weights + 4 * (int64_t{first + q} * p.rows + output));
      }
    }
  }

  HD void multiply(Threads threads, const BlockPlaces<S>& places, int time,
                   const BlockProduct<S>& p) const {
    if (places.rows > 4) {
      for_rows<8>(threads, places, time, p);
    } else if (places.rows > 2) {
      for_rows<4>(threads, places, time, p);
    } else if (places.rows == 2) {
      for_rows<2>(threads, places, time, p);
    } else {
      for_rows<1>(threads, places, time, p);
    }
  }

 private:
  template <int R>
  HD void for_rows(Threads threads, const BlockPlaces<S>& places, int time,
                   const BlockProduct<S>& p) const {
    const ProductTile<R, S> tile(places, time, p);
    for (int first = 0; first < places.rows; first += R) {
      for (int i = 0; i < kShares; ++i) {
        const int share = threads.thread() + i * threads.threads();
        if (share >= p.chunks * p.rows) break;
        S sum[R];
        add<R>(places, time, p, share / p.rows, first, held_[i], sum);
        tile.leave(threads, share % p.rows, share / p.rows, first, sum);
      }
      if (p.chunks == 1) continue;
      threads.sync(SyncSite::kPartials);
      tile.join(threads, first / R, 1);
      threads.sync(SyncSite::kProduct);
    }
    if (p.chunks == 1) threads.sync(SyncSite::kProduct);
  }

  template <int R>
  HD void add(const BlockPlaces<S>& places, int time, const BlockProduct<S>& p, int chunk, int row,
              const Quad<S> (&held)[kQuads], S (&sum)[R]) const {
    const auto& source = p.source[0];
    const int all = source.size / 4, first = all * chunk / p.chunks;
    const int count = all * (chunk + 1) / p.chunks - first;
    const BlockColumn<S> from = places.column(source.slot, time + source.dt);
    const S* at[R];
    UNROLL(8)
    for (int r = 0; r < R; ++r) {
      const int last = places.rows - 1;
      at[r] =
          from.base + (row + r < last ? row + r : last) * from.stride + source.begin + 4 * first;
      sum[r] = S(0);
    }
    UNROLL(16)
    for (int q = 0; q < kQuads; ++q) {
      if (q >= count) continue;
      UNROLL(8)
      for (int r = 0; r < R; ++r) {
        const Quad<S> s = *reinterpret_cast<const Quad<S>*>(at[r] + 4 * q);
        sum[r] = fma(held[q].v[0], s.v[0], sum[r]);
        sum[r] = fma(held[q].v[1], s.v[1], sum[r]);
        sum[r] = fma(held[q].v[2], s.v[2], sum[r]);
        sum[r] = fma(held[q].v[3], s.v[3], sum[r]);
      }
    }
  }

  Quad<S> held_[kShares][kQuads];
};

template <class Threads, class S>
class HeldProduct<Threads, S, 0> {
 public:
  HD void load(Threads, const BlockProduct<S>&) {}
  HD void multiply(Threads threads, const BlockPlaces<S>& places, int time,
                   const BlockProduct<S>& p) const {
    block_product(threads, places, time, p);
  }
};

}  // namespace lookback
