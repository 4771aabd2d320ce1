/// The CPU's execution context for few rows: a worker, or several that divide the units, walk one
/// row through its sequence, a lane to a unit, where TileContext has a lane to a row and would
/// leave most of them empty. It has what cells that are `kUnitwise` ask for (cells/cell.h), and no
/// more. Every unit goes through the operations of a tile in their order, so to the same bits.
#pragma once

#include "backend/cpu/gemm-inl.h"
#include "backend/sequence.h"
#include "backend/walk.h"
#include "cells/cell.h"
#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// A column of a slot at one step, relative to the row's begin; a whole number of vectors.
struct UnitColumn {
  int64_t offset = 0;
};

/// The first `count` numbers at `from`, and zeros.
template <class V>
HD V load_some(const ScalarOf<V>* from, int count) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  alignas(64) ScalarOf<V> line[kWidth] = {};
  if (count == kWidth) {
    __builtin_memcpy(line, from, sizeof(V));
  } else {
    for (int i = 0; i < count; ++i) line[i] = from[i];
  }
  return at<V>(line);
}
template <class V>
HD void store_some(V numbers, ScalarOf<V>* to, int count) {
  if (count == NumberTraits<V>::kLanes) {
    __builtin_memcpy(to, &numbers, sizeof(V));
    return;
  }
  alignas(64) ScalarOf<V> line[NumberTraits<V>::kLanes];
  at<V>(line) = numbers;
  for (int i = 0; i < count; ++i) to[i] = line[i];
}

/// A whole vector of units, aligned.
template <class V>
class UnitGroup {
 public:
  HD explicit UnitGroup(ScalarOf<V>* base) : base_(base) {}
  HD V& operator()(UnitColumn c, int j) const { return at<V>(base_ + c.offset + j); }

 private:
  ScalarOf<V>* base_;
};

/// `count` units that fill no vector, or lie across two: worked on in copies, which go back in the
/// end.
template <class V>
class PartialGroup {
 public:
  using S = ScalarOf<V>;
  HD PartialGroup(S* base, int count) : base_(base), count_(count) {}
  HD V& operator()(UnitColumn c, int j) {
    S* const place = base_ + c.offset + j;
    int i = 0;
    while (i < used_ && places_[i] != place) ++i;
    if (i == used_) {
      places_[used_] = place;
      copies_[used_++] = load_some<V>(place, count_);
    }
    return copies_[i];
  }
  HD void store() const {
    for (int i = 0; i < used_; ++i) store_some(copies_[i], places_[i], count_);
  }

 private:
  /// Columns that one `each` may touch; nine in LSTM's backward pass.
  static constexpr int kMost = 16;
  S* base_;
  int count_, used_ = 0;
  S* places_[kMost] = {};
  V copies_[kMost];
};

/// A parameter by units. Behind the last number of a vector there is room (VectorSet).
template <class V>
class UnitVector {
 public:
  HD explicit UnitVector(const ScalarOf<V>* numbers) : numbers_(numbers) {}
  HD V operator[](int j) const {
    V numbers;
    __builtin_memcpy(&numbers, numbers_ + j, sizeof(V));
    return numbers;
  }

 private:
  const ScalarOf<V>* numbers_;
};

/// kPanels vectors of outputs side by side; of the last one `last` outputs are real. Each is summed
/// over k with one accumulator, as in linear_block.
template <class V, int kPanels>
void unit_panels(const ScalarOf<V>* w, int64_t depth, const ScalarOf<V>* bias,
                 const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                 int last, bool accumulate) {
  using S = ScalarOf<V>;
  constexpr int kWidth = NumberTraits<V>::kLanes;
  const S* const start = accumulate ? out : bias;
  V acc[kPanels];
  UNROLL(8)
  for (int p = 0; p < kPanels; ++p) {
    const int count = p == kPanels - 1 ? last : kWidth;
    acc[p] = start != nullptr ? load_some<V>(start + p * kWidth, count) : V(0);
  }
  for (int i = 0; i < operand_count; ++i) {
    const S* const units = operands[i].data;
    const int size = operands[i].size;
    for (int k = 0; k < size; ++k, w += kWidth) {
      const V x(units[k]);
      UNROLL(8)
      for (int p = 0; p < kPanels; ++p) acc[p] = fma(at<V>(w + p * depth * kWidth), x, acc[p]);
    }
  }
  UNROLL(8)
  for (int p = 0; p < kPanels; ++p)
    store_some(acc[p], out + p * kWidth, p == kPanels - 1 ? last : kWidth);
}

/// out[rows] = bias + packed weights times the operands; the packing's blocks are one vector wide.
template <class V>
void linear_units(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                  int operand_count, ScalarOf<V>* out, bool accumulate) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  int64_t depth = 0;
  for (int i = 0; i < operand_count; ++i) depth += operands[i].size;
  for (int o = 0; o < m.rows;) {
    // Eight sums hide the latency of a multiply-add.
    const int left = (m.rows - o + kWidth - 1) / kWidth;
    const int panels = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    const auto run = panels == 8   ? unit_panels<V, 8>
                     : panels == 4 ? unit_panels<V, 4>
                     : panels == 2 ? unit_panels<V, 2>
                                   : unit_panels<V, 1>;
    const int last = o + panels * kWidth > m.rows ? m.rows - o - (panels - 1) * kWidth : kWidth;
    run(m.data + o * depth, depth, m.bias != nullptr ? m.bias + o : nullptr, operands,
        operand_count, out + o, last, accumulate);
    o += panels * kWidth;
  }
}

/// A row for moving numbers in and out.
template <class S>
class UnitRow {
 public:
  HD UnitRow(S* base, int64_t batch) : base_(base), batch_(batch) {}
  HD S& at(UnitColumn c, int j) const { return base_[c.offset + j]; }
  HD int64_t batch() const { return batch_; }
  HD int first() const { return 0; }
  HD int stride() const { return 1; }

 private:
  S* base_;
  int64_t batch_;
};

template <class V>
class UnitContext {
 public:
  using Number = V;
  using Column = UnitColumn;
  using S = ScalarOf<V>;
  static constexpr int kWidth = NumberTraits<V>::kLanes;

  /// `member` of those that share the row, who meet at `barrier`; null: there is but one.
  UnitContext(const SequenceArgs<S>& args, int row, int member, TeamBarrier* barrier)
      : args_(args),
        base_(args.storage + row * args.tile_stride),
        row_(row),
        member_(member),
        barrier_(barrier) {}

  void set_time(int t) { time_ = t; }
  void set_active(int) {}
  void read_fresh_moments(bool) {}
  HD int time() const { return time_; }
  HD UnitColumn at(Slot slot, int dt = 0) const { return place(slot.id, dt); }
  HD UnitVector<V> vector(Vector v) const { return UnitVector<V>(args_.vectors[v.id]); }
  HD bool given(int sequence) const { return args_.sequence[sequence].data != nullptr; }
  HD Slot sequence_slot(int sequence) const {
    return {args_.sequence[sequence].slot, args_.sequence[sequence].size};
  }

  template <class F>
  HD void each(int n, F f) const {
    if (!meet(n)) return;
    const Range own = share(n);
    // Where n is no whole number of vectors, neither is m n: all of it goes through copies.
    if (n % kWidth == 0) {
      for (int j = own.begin; j < own.end; j += kWidth) f(UnitGroup<V>(base_), j);
      return;
    }
    for (int j = own.begin; j < own.end; j += kWidth) {
      PartialGroup<V> group(base_, n - j < kWidth ? n - j : kWidth);
      f([&group](UnitColumn c, int unit) -> V& { return group(c, unit); }, j);
      group.store();
    }
  }

  void linear(Linear l) const {
    if (!meet(kProduct)) return;
    const PackedLinear<S>& p = args_.linears[l.id];
    Operand<S> operands[kMaxSources];
    for (int repeat = 0; repeat < p.repeat; ++repeat) {
      for (int i = 0; i < p.sources; ++i) {
        const auto& source = p.source[i];
        operands[i] = {base_ + place(source.slot, source.dt).offset + source.begin +
                           int64_t{repeat} * source.size,
                       source.size};
      }
      S* const out = base_ + place(p.out, 0).offset + p.out_begin + int64_t{repeat} * p.rows;
      product(p.forward, operands, p.sources, out, p.accumulate);
    }
  }

  void adjoint(Linear l) const {
    if (!meet(kProduct)) return;
    const PackedLinear<S>& p = args_.linears[l.id];
    for (int repeat = 0; repeat < p.repeat; ++repeat) {
      const Operand<S> d_out = {
          base_ + place(p.d_out, 0).offset + p.d_out_begin + int64_t{repeat} * p.rows, p.rows};
      for (int i = 0; i < p.sources; ++i) {
        const auto& source = p.source[i];
        if (p.adjoint[i].data == nullptr) continue;
        S* const to = base_ + place(source.gradient, source.dt).offset + source.begin +
                      int64_t{repeat} * source.size;
        product(p.adjoint[i], &d_out, 1, to, source.accumulate);
      }
    }
  }

  // What follows is for the loop over time.
  template <class F>
  HD void each_row(F f) const {
    if (moves_rows()) f(UnitRow<S>(base_, row_));
  }
  template <class From>
  void load_rows(UnitColumn to, int size, S fallback, From from) const {
    if (!moves_rows()) return;
    const S* const numbers = from(row_);
    S* const column = base_ + to.offset;
    for (int j = 0; j < size; ++j) column[j] = numbers == nullptr ? fallback : numbers[j];
  }
  template <class To>
  void store_rows(UnitColumn from, int size, To to) const {
    if (!moves_rows()) return;
    __builtin_memcpy(to(row_), base_ + from.offset, static_cast<size_t>(size) * sizeof(S));
  }
  bool stop() const {
    const bool cancelled = args_.cancel != nullptr && args_.cancel->load(std::memory_order_relaxed);
    if (barrier_ == nullptr) return cancelled;
    if (cancelled) barrier_->abandon();
    return barrier_->abandoned();
  }
  const SlotPlace& slot(int slot) const { return args_.slots[slot]; }
  HD UnitColumn place(int slot, int dt) const {
    const SlotPlace& p = args_.slots[slot];
    return {p.offset + ring_index(p, time_ + dt + p.history) * row_column(p.size)};
  }

 private:
  // How an operation is divided, where it is not by units: n for `each(n)`.
  static constexpr int kNobody = 0, kProduct = -1, kMoving = -2;

  /// Comes before an operation that is divided in this way. What was divided in another way is done
  /// when it returns true; after a product its operands too may be written again. False: cancelled,
  /// so that what the others left undone must not be touched.
  bool meet(int division) const {
    if (barrier_ == nullptr) return true;
    if (division == division_ && division != kProduct) return !barrier_->abandoned();
    division_ = division;
    return barrier_->wait(member_, args_.members);
  }
  /// A whole row goes in or out by the first member, who needs less time for it than all to meet.
  bool moves_rows() const { return meet(kMoving) && member_ == 0; }

  struct Range {
    int begin, end;
  };
  /// This member's of n, in whole vectors.
  HD Range share(int n) const {
    if (barrier_ == nullptr) return {0, n};
    const int vectors = (n + kWidth - 1) / kWidth, members = args_.members;
    const int end = vectors * (member_ + 1) / members * kWidth;
    return {vectors * member_ / members * kWidth, end < n ? end : n};
  }

  /// Its part of linear_units; a large one in steps of a few milliseconds, with a look at the
  /// cancel flag between them. What a cancelled call leaves undone is never read.
  void product(const PackedMatrix<S>& m, const Operand<S>* operands, int count, S* out,
               bool accumulate) const {
    constexpr int64_t kPartWeights = int64_t{1} << 22, kPanels = 8 * kWidth;
    int64_t depth = 0;
    for (int i = 0; i < count; ++i) depth += operands[i].size;
    const int64_t most = kPartWeights / depth / kPanels * kPanels;
    const int part_rows = static_cast<int>(most < kPanels ? kPanels : most);
    const Range own = share(m.rows);
    for (int o = own.begin; o < own.end && (o == own.begin || !stop()); o += part_rows) {
      PackedMatrix<S> part = m;
      part.data += o * depth;
      if (part.bias != nullptr) part.bias += o;
      part.rows = own.end - o < part_rows ? own.end - o : part_rows;
      linear_units<V>(part, operands, count, out + o, accumulate);
    }
  }

  const SequenceArgs<S>& args_;
  S* const base_;
  const int row_, member_;
  TeamBarrier* const barrier_;
  int time_ = 0;
  mutable int division_ = kNobody;  ///< of the last operation
};

/// The rows of one worker, or of the team that it is a member of.
template <class V, class Cell, class Walk>
void run_rows(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker, Walk walk) {
  const int members = args.members, team = worker / members, teams = args.workers / members;
  TeamBarrier* const barrier = members > 1 ? args.teams + team : nullptr;
  for (int row = team; row < args.tiles; row += teams) {
    UnitContext<V> x(args, row, worker % members, barrier);
    if (x.stop()) return;
    walk(args, *static_cast<const Cell*>(cell), x);
  }
}

template <class V, class Cell>
void run_row_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_rows<V, Cell>(args, cell, worker, walk_forward<UnitContext<V>, Cell>);
}

template <class V, class Cell>
void run_row_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_rows<V, Cell>(args, cell, worker, walk_backward<UnitContext<V>, Cell>);
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
