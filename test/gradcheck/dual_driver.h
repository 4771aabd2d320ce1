/// The CPU driver itself, run on dual numbers: the same host code and the same time loop, compiled
/// for one `Dual` a lane. For one program only, since it brings the bodies of several source files.
#pragma once

#include "gradcheck/dual.h"
// Dual numbers come first: some calls below are looked up where they are written.
#include "gradcheck/dual_build.h"
//
#include "backend/cell_host.cc"
#include "backend/cpu/cell_gradients.cc"
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

/// The time loops of every cell on `V`: a lane of numbers, or a `Dual`.
template <class V, class List>
struct DriverLoops;
template <class V, class... Types>
struct DriverLoops<V, CellList<Types...>> {
  static constexpr CellLoops<ScalarOf<V>> kLoops[] = {
      {Types::kKey, kTileRows<V, tile_vectors<V, Types>()>, run_forward<V, Types>,
       run_backward<V, Types>}...};
};

template <class V>
const DriverTable<ScalarOf<V>>& driver_table() {
  static const DriverTable<ScalarOf<V>> kernels = {
      kMaxBlock,
      {kBlockSizes[0], kBlockSizes[1], kBlockSizes[2], kBlockSizes[3], kBlockSizes[4]},
      true,
      DriverLoops<V, Cells>::kLoops,
      Cells::kSize,
      weight_gradient<V>,
      gradient_scratch<V>,
      gemm<V>,
      kPanelColumns<V>,
      kGemmScratch<V>,
  };
  return kernels;
}

/// The driver as this program compiled it.
template <class V>
std::unique_ptr<Recurrence<ScalarOf<V>>> driver_recurrence(CpuRuntime& runtime,
                                                           const std::string& cell,
                                                           const Spec& spec) {
  using S = ScalarOf<V>;
  CellInstance instance = instantiate_cell(cell, spec);
  std::unique_ptr<Recurrence<S>> whole;
  if (instance.layered) {
    const auto make_layer = [&runtime, cell](const Spec& one) {
      return std::unique_ptr<Recurrence<S>>(std::make_unique<CellRecurrence<S>>(
          runtime, driver_table<V>(), instantiate_cell(cell, one)));
    };
    whole = std::make_unique<LayerStack<S>>(make_layer, ArraySpace<S>(), cell, spec);
  } else {
    whole = std::make_unique<CellRecurrence<S>>(runtime, driver_table<V>(), std::move(instance));
  }
  return std::make_unique<SegmentedRecurrence<S>>(std::move(whole));
}

inline std::unique_ptr<Recurrence<Dual>> dual_recurrence(CpuRuntime& runtime,
                                                         const std::string& cell,
                                                         const Spec& spec) {
  return driver_recurrence<Dual>(runtime, cell, spec);
}

}  // namespace lookback
