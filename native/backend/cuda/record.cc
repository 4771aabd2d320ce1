#include "backend/cuda/record.h"

#include <algorithm>

#include "backend/walk.h"
#include "cells/registry.h"

namespace lookback {
namespace {

/// A context without rows.
template <class Scalar>
class RecordContext {
 public:
  using Number = Scalar;
  using S = Scalar;
  struct Column {};

  RecordContext(const SequenceArgs<S>& args, const BlockSlot* slots, const S* numbers,
                StepRecord& record)
      : args_(args), slots_(slots), numbers_(numbers), record_(record) {}

  int time() const { return time_; }
  bool training() const { return args_.training; }
  int initial_entries() const { return args_.initial_entries; }
  bool default_start() const { return args_.default_start; }
  bool state_given(int i) const { return args_.state[i].initial != nullptr; }
  Column at(Slot, int = 0) const { return {}; }
  Column place(int, int) const { return {}; }
  const S* vector(Vector) const { return numbers_; }
  bool given(int sequence) const { return args_.sequence[sequence].data != nullptr; }
  Slot sequence_slot(int sequence) const {
    return {args_.sequence[sequence].slot, args_.sequence[sequence].size};
  }
  template <class F>
  void each(int, F) const {
    work();
  }
  template <class F>
  void rows(int, F) const {
    work();
  }
  template <class F>
  void each_row(F) const {
    work();
  }
  void zero_carried(bool) const { work(); }
  void set_active(int) const { work(); }
  void linear(Linear l) { pass({StepBoundary::kLinear, l.id}); }
  void adjoint(Linear l) { pass({StepBoundary::kAdjoint, l.id}); }
  template <class F>
  void moments(BatchSite, int, int, F) {
    pass({StepBoundary::kReduction});
  }
  void pool_moments(BatchSite, int) { pass({StepBoundary::kReduction}); }
  template <class F>
  const S* sums(int, F) {
    pass({StepBoundary::kReduction});
    return numbers_;
  }
  const S* mean(BatchSite) const { return numbers_; }
  const S* rstd(BatchSite) const { return numbers_; }
  S batch_rows() const { return S(1); }
  void set_time(int t) { time_ = t; }
  void read_fresh_moments(bool) {}
  bool stop() const { return false; }
  const SlotPlace& slot(int slot) const { return slots_[slot]; }

 private:
  void work() const { record_.works.back() = true; }
  void pass(StepBoundary boundary) {
    record_.boundaries.push_back(boundary);
    record_.times.push_back(time_);
    record_.works.push_back(false);
  }

  const SequenceArgs<S>& args_;
  const BlockSlot* slots_;
  const S* numbers_;  ///< zeros: more than any vector has
  StepRecord& record_;
  int time_ = 0;
};

template <class Cell, class S>
void record_cell(const void* data, const SequenceArgs<S>& args, RecordContext<S>& x, BlockPass pass,
                 int time) {
  const Cell& cell = *static_cast<const Cell*>(data);
  switch (pass) {
    case BlockPass::kStart:
      return walk_start(args, cell, x);
    case BlockPass::kForwardStep:
      return walk_forward_step(args, cell, x, time);
    case BlockPass::kTurn:
      return walk_turn(args, x);
    case BlockPass::kBackwardStep:
      return walk_backward_step(args, cell, x, time);
    case BlockPass::kFinish:
      return walk_finish(args, cell, x);
    default:
      break;
  }
  if constexpr (requires { cell.pools(x); }) {
    if (!cell.pools(x)) return;
    if (pass == BlockPass::kSurveyStep) walk_survey_step(args, cell, x, time);
    if (pass == BlockPass::kPool) cell.pool(x, args.steps);
    if (pass == BlockPass::kSettleStep)
      walk_settle_step(args, cell, x, time, walk_settle_begin(cell, x));
  }
}

template <class S, class List>
struct Records;
template <class S, class... Types>
struct Records<S, CellList<Types...>> {
  using Record = void (*)(const void*, const SequenceArgs<S>&, RecordContext<S>&, BlockPass, int);
  static constexpr Record kRecord[] = {record_cell<Types, S>...};
};

}  // namespace

template <class S>
StepRecord record_step(const Declaration& d, int index, const void* cell,
                       const SequenceArgs<S>& args, const BlockSlot* slots, BlockPass pass,
                       int time) {
  int most = 0;
  for (const VectorInfo& vector : d.vectors) most = std::max(most, vector.size);
  for (const TableInfo& table : d.tables)
    most = std::max(most, 2 * table.entries * table.width + 1);
  const std::vector<S> numbers(static_cast<size_t>(most) + 1);
  StepRecord record;
  RecordContext<S> x(args, slots, numbers.data(), record);
  Records<S, Cells>::kRecord[index](cell, args, x, pass, time);
  return record;
}

template StepRecord record_step(const Declaration&, int, const void*, const SequenceArgs<float>&,
                                const BlockSlot*, BlockPass, int);
template StepRecord record_step(const Declaration&, int, const void*, const SequenceArgs<double>&,
                                const BlockSlot*, BlockPass, int);

}  // namespace lookback
