/// The recurrent drivers on the host.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/cuda/block_loop.h"
#include "backend/cuda/block_tools.h"
#include "backend/cuda/emulated.h"
#include "backend/cuda/emulated_session.h"
#include "backend/cuda/faults.h"
#include "backend/cuda/operation_list.h"
#include "cells/registry.h"

namespace lookback {
namespace {

// Small and odd, so that rows and units divide unevenly among threads.
constexpr int kThreads = 3;
// The same of the threads for each feature of a reduction that a launch is for.
constexpr int kReductionThreads = 5 * kReductionWidth;

template <class S>
using Loop = void (*)(EmulatedThreads, const LoopOp<S>&, S* shared);

template <class S, class Cell, int kQuads>
void run_cell_holding(EmulatedThreads threads, const LoopOp<S>& op, S* shared) {
  if (op.backward) {
    block_backward<Cell, kQuads>(threads, op.args, op.work, shared);
  } else {
    block_forward<Cell, kQuads>(threads, op.args, op.work, shared);
  }
}

template <class S, class Cell>
void run_cell(EmulatedThreads threads, const LoopOp<S>& op, S* shared) {
  if constexpr (kHoldsWeights<Cell, S>) {
    if (op.args.held) return run_cell_holding<S, Cell, kHeldQuads>(threads, op, shared);
  }
  run_cell_holding<S, Cell, 0>(threads, op, shared);
}

template <class S, class List>
struct Loops;
template <class S, class... Types>
struct Loops<S, CellList<Types...>> {
  static constexpr Loop<S> kLoops[] = {run_cell<S, Types>...};
};

/// As many as the largest cluster has blocks, all together.
template <class S>
int32_t room_for_clusters(const LoopOp<S>& op) {
  return emulated_largest_cluster() / (op.args.cluster * op.args.shares);
}

/// One team runs all clusters, one after another. What a block finds in shared memory when it
/// begins is no number, nor what others find there once it has left. False where a GPU would hang.
template <class S>
bool run(const LoopOp<S>& op) {
  const EmulatedSchedule schedule = emulated_schedule();
  const int together = op.args.cluster * op.args.shares;
  const int threads = op.work.batchwise ? kReductionThreads : kThreads;
  EmulatedCluster cluster(together, threads, schedule);
  const size_t quads = static_cast<size_t>(op.args.shared_numbers) / 4 + 1;
  std::vector<Quad<S>> shared(quads * static_cast<size_t>(together));
  for (int rank = 0; rank < together; ++rank) {
    cluster.shared.push_back(
        reinterpret_cast<std::byte*>(shared.data() + quads * static_cast<size_t>(rank)));
  }
  const Loop<S> loop = Loops<S, Cells>::kLoops[op.index];
  const auto member = [&](int own) {
    const auto rank = static_cast<size_t>(own / threads);
    S* const numbers = shared[quads * rank].v;
    const auto forget = [=] {
      if (own % threads == 0) std::fill_n(numbers, 4 * quads, std::numeric_limits<S>::quiet_NaN());
    };
    for (int first = 0; first < op.blocks; first += together) {
      forget();
      cluster.team.wait(own);
      loop(EmulatedThreads(&cluster, own, first, op.blocks), op,
           op.shared_bytes > 0 ? numbers : nullptr);
      cluster.team.wait(own);
      forget();
    }
  };
  cluster.team.run(member, schedule.descending);
  return !cluster.team.stuck();
}

/// In an order that no item may rely on.
template <class Op>
requires requires(const Op& op) { op.items(); }
bool run(const Op& op) {
  const int64_t n = op.items();
  for (int64_t i = 1; i < n; i += 2) op(i);
  for (int64_t i = (n - 1) / 2 * 2; i >= 0 && n > 0; i -= 2) op(i);
  return true;
}

}  // namespace

EmulatedSchedule& emulated_schedule() {
  static EmulatedSchedule schedule;
  return schedule;
}

int32_t count_loop_clusters(CudaSession*, int32_t dtype, const void* arguments, int64_t bytes,
                            int32_t* count, CudaFault* fault) {
  const auto go = [count](const auto& op) { *count = room_for_clusters(op); };
  const bool known =
      dtype == sizeof(float)
          ? with_operation(OperationList<LoopOp<float>>(), kCudaLoop, arguments, bytes, go)
          : with_operation(OperationList<LoopOp<double>>(), kCudaLoop, arguments, bytes, go);
  return known ? kCudaOk : set_fault(fault, kCudaFailed, "counting clusters", "unknown operation");
}

int32_t launch_recurrent(CudaSession*, int32_t operation, int32_t dtype, const void* arguments,
                         int64_t bytes, CudaFault* fault) {
  bool ended = true, room = true;
  const auto go = [&]<class Op>(const Op& op) {
    if constexpr (!requires { op.items(); }) room = room_for_clusters(op) > 0;
    if (room) ended = run(op);
  };
  const bool known =
      dtype == sizeof(float)
          ? with_operation(RecurrentOperations<float>(), operation, arguments, bytes, go)
          : with_operation(RecurrentOperations<double>(), operation, arguments, bytes, go);
  if (!room) return set_fault(fault, kCudaFailed, "a time loop", "no room for a cluster");
  if (!ended) return set_fault(fault, kCudaFailed, "a time loop", "threads at different barriers");
  return known ? kCudaOk : set_fault(fault, kCudaFailed, "a launch", "unknown operation");
}

}  // namespace lookback
