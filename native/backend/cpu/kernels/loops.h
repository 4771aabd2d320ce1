/// The time loops of one cell, which its own source in this folder instantiates and table.cc names.
#pragma once

#include "backend/sequence.h"
#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

template <class V, class Cell>
void cell_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker);
template <class V, class Cell>
void cell_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker);
/// Of cells that are `kUnitwise`.
template <class V, class Cell>
void cell_row_forward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker);
template <class V, class Cell>
void cell_row_backward(const SequenceArgs<ScalarOf<V>>& args, const void* cell, int worker);

}  // namespace LOOKBACK_ISA
}  // namespace lookback
