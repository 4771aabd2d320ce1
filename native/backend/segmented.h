/// Resets: rows whose state starts afresh before some of their steps (packed sequences, episodes of
/// reinforcement learning), for any recurrence whose rows do not meet.
///
/// A row is cut at its resets, and every segment becomes a row of its own: the first one starts
/// from what the caller gives, the others from the cell's own start; the last one gives the final
/// state. No segment sees another, so nothing flows back across a reset, and a run with resets has
/// the bits of the separate runs. Segments that start alike and are of like length run together, so
/// that their tapes hold at most twice the steps there are.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/array_space.h"
#include "backend/backend.h"

namespace lookback {

/// A recurrence that understands the input "resets" [B,T]: 1 before a step that starts afresh, else
/// 0. Without that input it is the recurrence it wraps.
template <class S>
class SegmentedRecurrence final : public Recurrence<S> {
 public:
  explicit SegmentedRecurrence(std::unique_ptr<Recurrence<S>> whole,
                               const ArraySpace<S>& arrays = ArraySpace<S>());

  const CellInfo& info() const override { return whole_->info(); }
  std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const override {
    return whole_->outputs(batch, steps);
  }
  std::vector<TensorInfo> derived() const override { return whole_->derived(); }
  std::vector<TensorInfo> saved(int64_t batch, int64_t steps) const override {
    return whole_->saved(batch, steps);
  }
  void read_saved(const Tape& tape, const Tensors<S>& to) const override;
  std::vector<std::string> differentiable_inputs() const override {
    return whole_->differentiable_inputs();
  }
  std::string couples_rows(bool training) const override { return whole_->couples_rows(training); }
  std::vector<LoopPlan> explain(const PlanCall& call) const override {
    return whole_->explain(call);
  }
  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override;
  void forward(const ForwardCall<S>& call, Tape& tape) override;
  void backward(const BackwardCall<S>& call, Tape& tape) override;
  bool settles() const override { return whole_->settles(); }
  std::vector<int> settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                          bool first) override {
    return whole_->settle(params, buffers, first);
  }

 private:
  std::unique_ptr<Recurrence<S>> whole_;
  ArraySpace<S> arrays_;
  std::set<std::string> rows_;  ///< outputs that belong to rows; the others are of the weights
};

}  // namespace lookback
