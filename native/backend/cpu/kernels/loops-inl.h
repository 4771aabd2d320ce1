/// The bodies of loops.h, for the source of one cell.
#pragma once

#include "backend/cpu/kernels/loops.h"
#include "backend/cpu/sequence-inl.h"
#include "backend/cpu/unit_context-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

// Instantiated in kernels/table.cc alone: what a loop does beside its cell's programs.
extern template class TileContext<Lanes<float>, 1>;
extern template class TileContext<Lanes<float>, 2>;
extern template class TileContext<Lanes<double>, 1>;
extern template class TileContext<Lanes<double>, 2>;
extern template class UnitContext<Lanes<float>>;
extern template class UnitContext<Lanes<double>>;

}  // namespace LOOKBACK_ISA

extern template class Exchange<TileContext<Lanes<float>, 1>>;
extern template class Exchange<TileContext<Lanes<float>, 2>>;
extern template class Exchange<TileContext<Lanes<double>, 1>>;
extern template class Exchange<TileContext<Lanes<double>, 2>>;
extern template class Exchange<UnitContext<Lanes<float>>>;
extern template class Exchange<UnitContext<Lanes<double>>>;

inline namespace LOOKBACK_ISA {

template <class V, class Cell>
void cell_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_forward<V, Cell>(args, cell, worker);
}

template <class V, class Cell>
void cell_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_backward<V, Cell>(args, cell, worker);
}

template <class V, class Cell>
void cell_row_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_row_forward<V, Cell>(args, cell, worker);
}

template <class V, class Cell>
void cell_row_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker) {
  run_row_backward<V, Cell>(args, cell, worker);
}

/// Both number types of one entry of the registry.
#define LOOKBACK_CELL_LOOPS(...)                                                                   \
  template void cell_forward<Lanes<float>, __VA_ARGS__>(const SequenceArgs<float>&, const void*,   \
                                                        int);                                      \
  template void cell_backward<Lanes<float>, __VA_ARGS__>(const SequenceArgs<float>&, const void*,  \
                                                         int);                                     \
  template void cell_forward<Lanes<double>, __VA_ARGS__>(const SequenceArgs<double>&, const void*, \
                                                         int);                                     \
  template void cell_backward<Lanes<double>, __VA_ARGS__>(const SequenceArgs<double>&,             \
                                                          const void*, int);
/// And of one that is unitwise.
#define LOOKBACK_UNITWISE_LOOPS(...)                                                       \
  LOOKBACK_CELL_LOOPS(__VA_ARGS__)                                                         \
  template void cell_row_forward<Lanes<float>, __VA_ARGS__>(const SequenceArgs<float>&,    \
                                                            const void*, int);             \
  template void cell_row_backward<Lanes<float>, __VA_ARGS__>(const SequenceArgs<float>&,   \
                                                             const void*, int);            \
  template void cell_row_forward<Lanes<double>, __VA_ARGS__>(const SequenceArgs<double>&,  \
                                                             const void*, int);            \
  template void cell_row_backward<Lanes<double>, __VA_ARGS__>(const SequenceArgs<double>&, \
                                                              const void*, int);

}  // namespace LOOKBACK_ISA
}  // namespace lookback
