/// One layer of one cell on a CUDA device: the host's side of its loop over time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cell_host.h"
#include "backend/cuda/block_plan.h"
#include "backend/cuda/block_tools.h"
#include "backend/cuda/block_weights.h"
#include "backend/cuda/device.h"
#include "backend/cuda/launch_record.h"
#include "backend/cuda/orthogonal_weights.h"
#include "base/arena.h"

namespace lookback {

template <class S>
class CudaTape final : public Tape {
 public:
  explicit CudaTape(CudaDevice& device);
  size_t bytes() const override;
  /// Whether the pass at hand is one of training, whose products may be summed in any order.
  bool trains() const { return shape.keep && loop.args.walk.training; }

  BlockShape shape;
  bool filled = false;
  BlockPlan plan;
  Buffer<S> storage, active, totals, moments, gradients, sums;
  std::vector<Buffer<S>> masks, d_initial, noisy;
  Buffer<int32_t> lengths;
  Buffer<int64_t> active_rows, origins;
  LoopOp<S> loop;
  LaunchRecord forward_record, backward_record;  ///< of the stepwise driver
};

template <class S>
class CudaRecurrence final : public CellHost<S> {
 public:
  /// `backend` computes on `device`; both outlive this. `on_host` multiplies in the host's memory.
  CudaRecurrence(Backend<S>& backend, CudaDevice& device, Multiply on_host, CellInstance cell);

  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override;
  void forward(const ForwardCall<S>& call, Tape& tape) override;
  void backward(const BackwardCall<S>& call, Tape& tape) override;
  bool settles() const override { return derived_.settles(); }
  std::vector<int> settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                          bool first) override;
  void read_saved(const Tape& tape, const Tensors<S>& to) const override;

 private:
  LoopPlan plan_here(const PlanCall& call) const override;
  using CellHost<S>::cell_;
  using CellHost<S>::info_;
  using CellHost<S>::derived_;

  struct HostCopies;
  class Stepwise;

  BlockLimits limits() const;
  BlockPlan choose_plan(const BlockShape& shape) const;
  bool has_room(const BlockPlan& plan, const BlockShape& shape) const;
  void size_loop(const BlockPlan& plan, bool backward, LoopOp<S>& loop) const;
  BlockShape shape_of(int64_t batch, int64_t steps, bool keep, bool training) const;
  void make_room(CudaTape<S>& t) const;
  void ensure_plan(const ForwardCall<S>& call, CudaTape<S>& t);
  void prepare(const ForwardCall<S>& call, bool quads);
  void build_derived(const ForwardCall<S>& call);
  HostCopies copy_to_host(const ForwardCall<S>& call, HostShare share);
  void show_derived(const ForwardCall<S>& call, const HostCopies& host);
  bool reads(HostShare share, size_t param) const;
  size_t own_matrices() const;
  void find_weights(const std::vector<const S*>& params);
  void pack(bool quads);
  void add_noise(const ForwardCall<S>& call, CudaTape<S>& t);
  void bind_tape(CudaTape<S>& t);
  void bind_products(CudaTape<S>& t, bool backward, bool with_dx);
  void bind_rows(const ForwardCall<S>& call, CudaTape<S>& t);
  void draw_masks(const ForwardCall<S>& call, CudaTape<S>& t);
  void bind_statistics(const ForwardCall<S>& call, CudaTape<S>& t);
  void show_statistics(const ForwardCall<S>& call, CudaTape<S>& t);
  void stage(CudaTape<S>& t, bool backward) const;
  void move_input(CudaTape<S>& t, const S* from, S* to, bool out);
  void multiply_input(CudaTape<S>& t);
  void input_gradient(CudaTape<S>& t, S* dx);
  void run_loop(CudaTape<S>& t, bool backward);
  void run_steps(CudaTape<S>& t, bool backward);
  void weight_gradients(CudaTape<S>& t, const std::vector<S*>& d_weights);
  void other_gradients(CudaTape<S>& t, const BackwardCall<S>& call,
                       const std::vector<S*>& d_weights);
  void derived_gradients(const BackwardCall<S>& call, const std::vector<S*>& d_weights);
  void gradients_on_host(const BackwardCall<S>& call);
  /// The matrix of a slot's columns from step `t` on.
  S* column(CudaTape<S>& t, int slot, int64_t step) const;

  Backend<S>& backend_;
  CudaDevice& device_;
  Multiply on_host_;
  BlockLayout layout_;
  BlockWeights<S> weights_;
  std::vector<Buffer<S>> derived_values_, derived_gradients_;
  Buffer<S> host_gradients_;  ///< on their way from the host, one parameter's at a time
  std::unique_ptr<OrthogonalWeights<S>> own_weights_;  ///< that the device makes; null: none
  HostShare host_share_ = HostShare::kAll;             ///< of the last build
  std::vector<const S*> all_weights_;
  uint64_t version_ = 0;  ///< of the weights that are prepared; 0: of none in particular
  bool quads_ = false;    ///< how they are packed
};

}  // namespace lookback
