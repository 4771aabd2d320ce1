// The kernels of the instruction set that LOOKBACK_ISA names, as one table. Every file of this
// folder is compiled once for each instruction set; see native/sources.cmake.
#include <type_traits>

#include "backend/cpu/kernels/loops.h"
#include "backend/cpu/sequence-inl.h"
#include "backend/cpu/unit_context-inl.h"
#include "cells/registry.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

template LOOKBACK_LINEAR_TILE(float);
template LOOKBACK_LINEAR_TILE(double);
template class TileContext<Lanes<float>, 1>;
template class TileContext<Lanes<float>, 2>;
template class TileContext<Lanes<double>, 1>;
template class TileContext<Lanes<double>, 2>;
template class UnitContext<Lanes<float>>;
template class UnitContext<Lanes<double>>;

}  // namespace LOOKBACK_ISA

template class Exchange<TileContext<Lanes<float>, 1>>;
template class Exchange<TileContext<Lanes<float>, 2>>;
template class Exchange<TileContext<Lanes<double>, 1>>;
template class Exchange<TileContext<Lanes<double>, 2>>;
template class Exchange<UnitContext<Lanes<float>>>;
template class Exchange<UnitContext<Lanes<double>>>;

inline namespace LOOKBACK_ISA {

/// The cell whose loops a cell runs: itself, or the base that has all of its programs and begins
/// where it does.
template <class Cell>
struct LoopOf {
  using Type = Cell;
};
template <class Cell>
requires requires { typename Cell::Loop; }
struct LoopOf<Cell> {
  using Type = typename Cell::Loop;
  static_assert(std::is_base_of_v<Type, Cell> && !std::is_polymorphic_v<Cell>);
};

template <class V, class Cell>
constexpr CellLoops<ScalarOf<V>> loops_of() {
  using Loop = typename LoopOf<Cell>::Type;
  CellLoops<ScalarOf<V>> loops{Cell::kKey, kTileRows<V, tile_vectors<V, Loop>()>,
                               cell_forward<V, Loop>, cell_backward<V, Loop>};
  if constexpr (kIsUnitwise<Cell>) {
    loops.row_forward = cell_row_forward<V, Loop>;
    loops.row_backward = cell_row_backward<V, Loop>;
  }
  return loops;
}

template <class V, class List>
struct LoopTable;

template <class V, class... Types>
struct LoopTable<V, CellList<Types...>> {
  static constexpr CellLoops<ScalarOf<V>> kLoops[] = {loops_of<V, Types>()...};
};

template <class T>
constexpr DriverTable<T> kKernelTable = {
    kMaxBlock,
    {kBlockSizes[0], kBlockSizes[1], kBlockSizes[2], kBlockSizes[3], kBlockSizes[4]},
    true,
    LoopTable<Lanes<T>, Cells>::kLoops,
    Cells::kSize,
    weight_gradient<Lanes<T>>,
    gradient_scratch<Lanes<T>>,
    gemm<Lanes<T>>,
    kPanelColumns<Lanes<T>>,
    kGemmScratch<Lanes<T>>,
    few_rows<Lanes<T>>(),
    NumberTraits<Lanes<T>>::kLanes,
};

const DriverTable<float>& float_kernels() { return kKernelTable<float>; }
const DriverTable<double>& double_kernels() { return kKernelTable<double>; }

}  // namespace LOOKBACK_ISA
}  // namespace lookback
