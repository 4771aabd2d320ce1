/// The CPU driver itself, run on dual numbers: the same host code and the same time loop, compiled
/// for one `Dual` a lane. For one program only, since it brings the bodies of several source files.
#pragma once

#include "gradcheck/dual.h"
// Dual numbers come first: some calls below are looked up where they are written.
#include "gradcheck/dual_build.h"
//
#include "backend/cell_host.cc"
#include "backend/cpu/cell_recurrence.cc"
#include "backend/cpu/cell_statistics.cc"
#include "backend/cpu/plan.cc"
#include "backend/cpu/sequence-inl.h"
#include "backend/derived.cc"
#include "backend/layer_stack.cc"
#include "backend/layer_stack_backward.cc"
#include "backend/segmented.cc"
#include "cells/registry.h"

namespace lookback {

template <class List>
struct DualLoops;
template <class... Types>
struct DualLoops<CellList<Types...>> {
  static constexpr CellLoops<Dual> kLoops[] = {
      {Types::kKey, run_forward<Dual, Types>, run_backward<Dual, Types>}...};
};

inline const DriverTable<Dual>& dual_kernels() {
  static const DriverTable<Dual> kernels = {
      kTileRows<Dual>,
      kMaxBlock,
      {kBlockSizes[0], kBlockSizes[1], kBlockSizes[2], kBlockSizes[3], kBlockSizes[4]},
      true,
      DualLoops<Cells>::kLoops,
      Cells::kSize,
      weight_gradient<Dual>,
      gradient_scratch<Dual>,
      gemm<Dual>,
      kTileRows<Dual>,
  };
  return kernels;
}

inline std::unique_ptr<Recurrence<Dual>> dual_recurrence(CpuRuntime& runtime,
                                                         const std::string& cell,
                                                         const Spec& spec) {
  CellInstance instance = instantiate_cell(cell, spec);
  std::unique_ptr<Recurrence<Dual>> whole;
  if (instance.layered) {
    const auto make_layer = [&runtime, cell](const Spec& one) {
      return std::unique_ptr<Recurrence<Dual>>(std::make_unique<CellRecurrence<Dual>>(
          runtime, dual_kernels(), instantiate_cell(cell, one)));
    };
    whole = std::make_unique<LayerStack<Dual>>(make_layer, ArraySpace<Dual>(), cell, spec);
  } else {
    whole = std::make_unique<CellRecurrence<Dual>>(runtime, dual_kernels(), std::move(instance));
  }
  return std::make_unique<SegmentedRecurrence<Dual>>(std::move(whole));
}

}  // namespace lookback
