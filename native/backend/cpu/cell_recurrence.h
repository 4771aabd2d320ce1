/// One layer of one cell on the CPU: ties a cell's declaration, its storage and the time loop of
/// the chosen instruction set together.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/cell_host.h"
#include "backend/cpu/plan.h"
#include "backend/cpu/threads.h"
#include "cells/cell.h"

namespace lookback {

template <class S>
class CellTape final : public Tape {
 public:
  size_t bytes() const override;

  int64_t batch = 0, steps = 0;
  int rows = 1;  ///< of a tile
  bool keep = false;
  bool filled = false;
  int entries = 1;  ///< of a queue's initial state that the plan has room for
  StoragePlan plan;
  AlignedArray<S> storage, active, partials, totals;
  int64_t partial_stride = 0;
  std::vector<AlignedArray<S>> site_moments;
  std::vector<BatchSiteState<S>> sites;
  std::vector<int64_t> active_rows;
  std::vector<std::vector<S>> drawn_masks;
  std::vector<std::vector<S>> d_initial;     ///< of states that start from a parameter
  std::vector<std::vector<S>> noisy;         ///< what states start from, with noise
  std::vector<AlignedArray<S>> dW, scratch;  ///< per Linear, per worker
  std::vector<RecentGradient<S>> recent;
  std::vector<S*> scratch_places;
  std::vector<S> sum;
  SequenceArgs<S> args;
};

template <class S>
class CellRecurrence final : public CellHost<S> {
 public:
  CellRecurrence(CpuRuntime& runtime, const DriverTable<S>& kernels, CellInstance cell);

  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override;
  void forward(const ForwardCall<S>& call, Tape& tape) override;
  void backward(const BackwardCall<S>& call, Tape& tape) override;
  void read_saved(const Tape& tape, const Tensors<S>& to) const override;
  bool settles() const override { return derived_.settles(); }
  std::vector<int> settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                          bool first) override;

 private:
  LoopPlan plan_here(const PlanCall& call) const override;

  using CellHost<S>::cell_;
  using CellHost<S>::info_;
  using CellHost<S>::derived_;

  /// Weights in the order that one of the two loops reads.
  struct Packing {
    PackedWeights<S> weights;
    uint64_t version = 0;  ///< of the weights that are packed; 0: of none in particular
  };
  int rows_of_tile(int64_t batch) const;
  int workers_for(int tiles, bool coupled) const;
  int members_for(int64_t rows, int64_t steps) const;
  void bind_tape(CellTape<S>& t, const PackedWeights<S>& weights);
  void ensure_entries(CellTape<S>& t);
  void add_noise(const ForwardCall<S>& call, CellTape<S>& t);
  Packing& packing_for(const CellTape<S>& t);
  void prepare(const ForwardCall<S>& call, Packing& packing);
  void draw_masks(const ForwardCall<S>& call, CellTape<S>& t);
  void bind_statistics(const ForwardCall<S>& call, CellTape<S>& t);
  void show_statistics(const ForwardCall<S>& call, const CellTape<S>& t) const;
  void run_loop(CellTape<S>& t, bool backward);
  void begin_recent(CellTape<S>& t);
  void finish_recent(CellTape<S>& t);
  void weight_gradients(CellTape<S>& t);
  void row_weight_gradients(CellTape<S>& t);
  void add_in_runs(const Gemm<S>& g, int begin, int end, const AlignedArray<S>& scratch);
  void row_weight_gradient(size_t linear, int begin, int end, CellTape<S>& t,
                           const AlignedArray<S>& scratch);
  int rows_of_sum(const SumInfo& sum, const CellTape<S>& t) const;
  void sum_gradients(const std::vector<S*>& d_weights, CellTape<S>& t);
  void initial_gradients(const std::vector<S*>& d_params, CellTape<S>& t);
  Multiply multiply() const;

  CpuRuntime& runtime_;
  const DriverTable<S>& kernels_;
  Packing packing_;                       ///< for tiles of many rows
  std::unique_ptr<Packing> row_packing_;  ///< for single ones, once there is one
  VectorSet<S> vectors_;
  std::vector<std::pair<std::string, std::string>> statistics_;  ///< mean and variance, per site
  uint64_t version_ = 0;  ///< of the weights that derived_ and vectors_ are made from
};

}  // namespace lookback
