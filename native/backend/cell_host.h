/// What the host does for a cell whatever the device: describes it to the model, and finds the
/// arrays of a call for the loop over time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/derived.h"
#include "backend/sequence.h"
#include "cells/cell.h"

namespace lookback {

/// A cell's struct without its type.
struct CellInstance {
  std::string key;
  std::shared_ptr<const void> cell;
  size_t bytes = 0;      ///< of the struct
  bool layered = false;  ///< names and states are those of a stack of layers
  int index = 0;         ///< in the registry, and so in the tables of all devices
  Declaration declaration;
};

/// Finds the cell for a key and its options and lets it declare itself. ERR_OPTION for an unknown
/// key.
CellInstance instantiate_cell(const std::string& key, const Spec& spec);

/// How a GPU of that size would run a cell's loop, by its model of sizes; none has to be there.
LoopPlan plan_on_gpu(const Declaration& cell, const PlanCall& call, const GpuSize& gpu,
                     int64_t number_bytes);

/// One layer of one cell, without a device.
template <class S>
class CellHost : public Recurrence<S> {
 public:
  const CellInfo& info() const override { return info_; }
  std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const override;
  std::vector<std::string> differentiable_inputs() const override;
  std::string couples_rows(bool training) const override;
  std::vector<TensorInfo> derived() const override;
  std::vector<TensorInfo> saved(int64_t batch, int64_t steps) const override;
  std::vector<LoopPlan> explain(const PlanCall& call) const override;

 protected:
  explicit CellHost(CellInstance cell);

  /// The plan of the device at hand.
  virtual LoopPlan plan_here(const PlanCall& call) const = 0;
  /// ERR_SHAPE, ERR_OPTION for what no device can run: lengths out of range, statistics of one row.
  void require_call(const ForwardCall<S>& call) const;
  void bind_sequence(const ForwardCall<S>& call, SequenceArgs<S>& a) const;
  void bind_states(const ForwardCall<S>& call, SequenceArgs<S>& a) const;
  bool is_noisy(const ForwardCall<S>& call, size_t state) const;
  /// The Gaussian noise [B][size] that training adds to what a state starts from: each row's own.
  std::vector<S> noise_of(const ForwardCall<S>& call, size_t state) const;
  /// Given masks, and how each is read; `is_drawn` says which of the others are to be drawn.
  void bind_masks(const ForwardCall<S>& call, SequenceArgs<S>& a) const;
  bool is_drawn(const ForwardCall<S>& call, const SequenceArgs<S>& a, int sequence) const;
  /// The numbers that a row of a drawn mask has; sets how they are read.
  int64_t row_of_mask(SequenceArgs<S>& a, int sequence) const;
  /// A state that nothing is kept of is left alone.
  void drop_idle_zoneout(SequenceArgs<S>& a) const;
  void bind_upstream(const BackwardCall<S>& call, SequenceArgs<S>& a) const;
  int stat_rows(const BatchSiteInfo& site) const;
  std::vector<int64_t> stat_shape(const BatchSiteInfo& site) const;
  /// Rows that take part in each step.
  std::vector<int64_t> active_rows(const int32_t* lengths, int64_t batch, int64_t steps) const;

  CellInstance cell_;
  CellInfo info_;
  DerivedWeights<S> derived_;

 private:
  void require_statistics(const ForwardCall<S>& call) const;
  void describe();
};

}  // namespace lookback
