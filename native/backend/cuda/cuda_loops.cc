/// Launching a recurrence's loop over time: one kernel for a whole pass, or launch by launch.
#include <algorithm>

#include "backend/cuda/cuda_recurrence.h"
#include "backend/cuda/record.h"

namespace lookback {

/// The stepwise driver's launches of one pass.
template <class S>
class CudaRecurrence<S>::Stepwise {
 public:
  Stepwise(CudaRecurrence& self, CudaTape<S>& t) : self_(self), d_(self.cell_.declaration), t_(t) {}

  void forward() {
    const int steps = static_cast<int>(t_.shape.steps);
    for (int s = 0; s < steps; ++s) run(BlockPass::kSurveyStep, s);
    run(BlockPass::kPool, 0);
    run(BlockPass::kStart, 0);
    for (int s = 0; s < steps; ++s) run(BlockPass::kForwardStep, s);
  }
  void backward() {
    const int steps = static_cast<int>(t_.shape.steps);
    run(BlockPass::kTurn, 0);
    for (int s = steps - 1; s >= 0; --s) run(BlockPass::kBackwardStep, s);
    for (int s = 0; s < steps; ++s) run(BlockPass::kSettleStep, s);
    run(BlockPass::kFinish, 0);
  }

 private:
  /// A program's phases, with its products and reductions between them.
  void run(BlockPass pass, int time) {
    self_.device_.check_cancel();
    const StepRecord record = record_step<S>(d_, self_.cell_.index, self_.cell_.cell.get(),
                                             t_.loop.args.walk, t_.plan.slots.data(), pass, time);
    int phase = 0;
    for (size_t i = 0;; ++i) {
      if (record.works[i]) launch(pass, time, phase, false);
      if (i == record.boundaries.size()) return;
      const StepBoundary& boundary = record.boundaries[i];
      ++phase;
      if (boundary.kind == StepBoundary::kReduction) {
        launch(pass, time, phase, true);
        ++phase;
      } else {
        multiply(boundary, record.times[i]);
      }
    }
  }

  void launch(BlockPass pass, int time, int phase, bool batchwise) {
    LoopOp<S>& loop = t_.loop;
    loop.work = {pass, time, phase, batchwise};
    if (!batchwise) return self_.device_.template launch<S>(loop.kId, loop);
    const int blocks = loop.blocks, threads = loop.threads;
    loop.blocks = reduction_blocks(most_features(d_));
    loop.threads = kMostBlockThreads;
    loop.args.shared_numbers = kMostBlockThreads * kReductionNumbers;
    loop.shared_bytes = loop.args.shared_numbers * static_cast<int32_t>(sizeof(S));
    self_.device_.template launch<S>(loop.kId, loop);
    loop.blocks = blocks;
    loop.threads = threads;
    loop.args.shared_numbers = loop.shared_bytes = 0;
  }

  S* column(int slot, int step) const {
    const BlockSlot& p = t_.plan.slots[static_cast<size_t>(slot)];
    const int index = ((step + p.history) % p.depth + p.depth) % p.depth;
    return t_.storage.data() + p.offset + index * t_.plan.padded * p.stride;
  }
  int64_t stride(int slot) const { return t_.plan.slots[static_cast<size_t>(slot)].stride; }

  void multiply(const StepBoundary& boundary, int time) {
    const BlockLinear<S>& linear = t_.loop.args.linears[boundary.linear];
    if (boundary.kind == StepBoundary::kLinear) {
      product(linear.forward, time, 1, 0);
    } else {
      for (int i = 0; i < linear.adjoints; ++i) product(linear.adjoint[i], time, 0, 1);
    }
  }

  /// Weights are dense: [rows][size] for a forward product, whose outputs are the rows; an adjoint
  /// has the same matrix and sums over the rows.
  void product(const BlockProduct<S>& p, int time, int forward_row, int adjoint_row) {
    if (p.sources == 0 && p.bias == nullptr) return;
    for (int repeat = 0; repeat < p.repeat; ++repeat) {
      S* const out = column(p.out, time + p.out_dt) + p.out_begin + int64_t{repeat} * p.rows;
      S beta = S(p.accumulate ? 1 : 0);
      if (p.bias != nullptr) {
        MovesOp<S> op = {};
        op.count = 1;
        auto& move = op.move[0];
        move.from = p.bias;
        move.from_col = 1;
        move.to = out;
        move.to_row = stride(p.out);
        move.to_col = 1;
        move.rows = static_cast<int32_t>(t_.shape.batch);
        move.cols = p.rows;
        move.add = p.accumulate;
        move.scale = S(1);
        self_.device_.template launch<S>(op.kId, op);
        beta = S(1);
      }
      for (int i = 0; i < p.sources; ++i) {
        const auto& source = p.source[i];
        Gemm<S> g;
        g.m = t_.shape.batch;
        g.n = p.rows;
        g.k = source.size;
        g.a = column(source.slot, time + source.dt) + source.begin + int64_t{repeat} * source.size;
        g.a_row = stride(source.slot);
        g.b = source.weights;
        g.b_row = forward_row != 0 ? 1 : p.rows;
        g.b_col = adjoint_row != 0 ? 1 : source.size;
        g.beta = beta;
        g.c = out;
        g.c_row = stride(p.out);
        g.any_order = t_.loop.backward || t_.trains();
        self_.backend_.gemm(g);
        beta = S(1);
      }
    }
  }

  CudaRecurrence& self_;
  const Declaration& d_;
  CudaTape<S>& t_;
};

template <class S>
void CudaRecurrence<S>::run_steps(CudaTape<S>& t, bool backward) {
  // Here rather than by the first product, which a record may hold.
  if (backward || t.trains()) device_.blas();
  // Kernels of single steps do not ask whether they are cancelled.
  t.loop.args.walk.cancel = nullptr;
  t.loop.work = BlockWork();
  const LoopOp<S> arguments = t.loop;
  (backward ? t.backward_record : t.forward_record).run(&arguments, sizeof arguments, [&] {
    Stepwise stepwise(*this, t);
    if (backward) {
      stepwise.backward();
    } else {
      stepwise.forward();
    }
  });
}

template <class S>
void CudaRecurrence<S>::run_loop(CudaTape<S>& t, bool backward) {
  device_.check_cancel();
  if (t.plan.driver == BlockDriver::kStepwise) {
    run_steps(t, backward);
  } else {
    t.loop.args.walk.cancel = device_.cancel_flag();
    t.loop.work = BlockWork();
    t.loop.work.pass = backward ? BlockPass::kBackward : BlockPass::kForward;
    device_.template launch<S>(t.loop.kId, t.loop);
  }
  device_.check_cancel();
}

template void CudaRecurrence<float>::run_loop(CudaTape<float>&, bool);
template void CudaRecurrence<double>::run_loop(CudaTape<double>&, bool);

}  // namespace lookback
