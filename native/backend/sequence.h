/// The data that the host side of the CPU driver hands to the time loop: plain structs, no
/// containers, since the loop is compiled once per instruction set.
#pragma once

#include <atomic>
#include <cstdint>

#include "backend/barrier.h"
#include "base/portable.h"

namespace lookback {

/// Numbers from one column of a single row to the next: whole vectors of any instruction set.
HD constexpr int64_t row_column(int64_t size) { return (size + 15) / 16 * 16; }

/// Where a slot lives inside a tile: `offset` numbers from the tile's begin, then
/// [depth][size][tile rows]; where a tile is one row, [depth][row_column(size)].
struct SlotPlace {
  int64_t offset = 0;
  int32_t size = 0;
  int32_t depth = 1;
  int32_t history = 0;      ///< step t is at index (t + history) mod depth
  uint64_t reciprocal = 0;  ///< 2^64 / depth rounded up, for ring_index; 0 where depth is 1
  bool carry = false;       ///< a gradient ring: see Life::kCarry
};

/// index mod depth, from 0 to depth - 1, without a division (Lemire, Kaser and Kurz 2019) but for
/// the steps before the first: a ring's column is looked up for every head and age of a window. The
/// lowest 64 bits of index times the reciprocal are the fraction of index / depth.
HD int64_t ring_index(const SlotPlace& p, int index) {
  if (index < 0) return (index % p.depth + p.depth) % p.depth;
  if (index < p.depth) return index;
  __extension__ using Wide = unsigned __int128;
  const uint64_t fraction = p.reciprocal * static_cast<uint32_t>(index);
  return static_cast<int64_t>((Wide{fraction} * static_cast<uint32_t>(p.depth)) >> 64);
}

/// Numbers behind packed weights that a kernel may read, and never uses.
constexpr int kPackedOverrun = 16;

/// Weights in the order in which the micro-kernel reads them: [block of `block` outputs][k][block].
template <class S>
struct PackedMatrix {
  const S* data = nullptr;
  const S* bias = nullptr;  ///< [rows] or null
  int rows = 0;             ///< outputs
  int block = 0;
};

constexpr int kMaxSources = 4;

/// One Linear, ready for the time loop.
template <class S>
struct PackedLinear {
  int out = 0, out_begin = 0, rows = 0;
  int d_out = 0, d_out_begin = 0;
  bool accumulate = false;
  int repeat = 1;
  int sources = 0;
  struct Source {
    int slot = 0, dt = 0, size = 0, gradient = -1;
    bool accumulate = false;
    int begin = 0;  ///< of the `size * repeat` units of slot and gradient that take part
  } source[kMaxSources];
  PackedMatrix<S> forward;               ///< k runs through all sources in order
  PackedMatrix<S> adjoint[kMaxSources];  ///< outputs: the source's units; k runs through the rows
};

/// Statistics of one batch site at every step: [steps][2][features] mean and 1 / sqrt(variance +
/// eps).
template <class S>
struct BatchSiteState {
  int features = 0;
  int stat_rows = 1;  ///< of the running statistics
  bool pooled = false;
  int64_t total_offset = 0;  ///< in a worker's `totals`; pooled: room for the sums behind it
  S* moments = nullptr;
  S* running_mean = nullptr;  ///< [stat rows][features]
  S* running_var = nullptr;
};

template <class S>
struct StatePlace {
  int slot = 0, gradient = 0, entries = 1, size = 0;
  int given = 0;               ///< entries of the initial value; 0: zeros (one entry)
  int past = -1, d_past = -1;  ///< slots of a window's entries from before the first step
  int zoneout = -1;            ///< number of the sequence that keeps old units; -1: none
  bool shared = false;         ///< it starts from a parameter
  bool repeated = false;       ///< `initial` is [size], for every row
  const S* initial = nullptr;  ///< [given][B][size], oldest first; of a window [entries][B][size],
                               ///< newest first
  S* d_initial = nullptr;
  S* final = nullptr;  ///< [entries][B][size], newest last, front-padded with zeros
  const S* d_final = nullptr;
};

/// A sequence of factors given by the caller or drawn by the driver (dropout masks), a row after
/// the other.
template <class S>
struct SequencePlace {
  int slot = 0, size = 0;                   ///< slot -1: read where it lies
  const S* data = nullptr;                  ///< null: `rest` everywhere
  int64_t row_stride = 0, step_stride = 0;  ///< step_stride 0: the same at every step
  S rest = S(1);
};

/// Steps that are kept of a slot that is `remade`; a multiple of it begins each run of them.
constexpr int kRecentSteps = 16;

/// A Linear with such a slot: its weight's gradient is summed in the loop, apart for every tile.
template <class S>
struct RecentGradient {
  int linear = 0;
  bool bias = false;
  S* dW = nullptr;      ///< [tiles][units of all sources, and the bias][rows]
  int64_t numbers = 0;  ///< of one tile
};

template <class S>
struct SequenceArgs {
  int64_t batch = 0;
  int steps = 0;
  int tiles = 0, tile_rows = 0;  ///< rows that a tile has room for
  int workers = 1;
  int members = 1;  ///< workers that share a row, where a tile is one
  bool training = false;
  bool coupled = false;  ///< rows meet in batch statistics: all tiles walk through time together
  bool keep = false;
  S* storage = nullptr;
  int64_t tile_stride = 0;
  const SlotPlace* slots = nullptr;
  int slot_count = 0;
  const PackedLinear<S>* linears = nullptr;
  const S* const* vectors = nullptr;

  const S* x = nullptr;  ///< [B,T,I]
  S* y = nullptr;        ///< [B,T,H] or null
  const S* dy = nullptr;
  S* y_last = nullptr;  ///< [B,H]: y of each row's last step, 0 for rows without any
  const S* dy_last = nullptr;
  S* dx = nullptr;
  int x_slot = 0, dx_slot = 0, y_slot = 0, dy_slot = 0, input_size = 0, output_size = 0;
  const int32_t* lengths = nullptr;  ///< [B] or null
  const S* mask = nullptr;           ///< [B,T] or null; 0 holds the state
  int initial_entries = 1;           ///< steps before the first that hold a state
  bool default_start = true;         ///< no queue was given: all rows start with one entry
  int states = 0;
  StatePlace<S> state[4];
  int sequences = 0;
  SequencePlace<S> sequence[8];
  int input_mask = -1;  ///< number of the sequence that x is multiplied by

  BatchSiteState<S>* sites = nullptr;
  bool batch_unbiased = true;
  S batch_eps = S(1e-5), batch_momentum = S(0.1);
  S* active =
      nullptr;  ///< [tiles][tile rows], written by the loop: 1 where a row takes part in the step
  const int64_t* active_rows = nullptr;  ///< [T] rows that take part; null: all
  S* partials = nullptr;  ///< [2][tiles][partial_stride]: per-tile sums and their row count
  int64_t partial_stride = 0;
  S* totals = nullptr;  ///< [workers][partial_stride]: of `sums`, then of each site

  const RecentGradient<S>* recent = nullptr;
  int recent_count = 0;
  S* const* gradient_scratch = nullptr;  ///< of each worker, see DriverTable

  const std::atomic<bool>* cancel = nullptr;
  Barrier* barrier = nullptr;    ///< of coupled workers
  TeamBarrier* teams = nullptr;  ///< of workers that share a row: one a team
};

}  // namespace lookback
