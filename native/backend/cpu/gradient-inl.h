/// What packs the operands of weight gradients, out of tiles into the form of the dense product.
#pragma once

#include "backend/cpu/gemm-inl.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// A weight gradient is a product over the rows of a run of steps: d_out makes the panels, a lane
/// an output, and every unit is a line of A. The lines of a chunk of units stay in the second-level
/// cache, of 512 KB or more, beside what is read of d_out.
constexpr int64_t kGradientBytes = 288 << 10;

/// Numbers of a line: more than a power of two by a cache line or two, so that lines do not evict
/// each other; whole vectors may write into what is more.
template <class V>
constexpr int64_t kGradientLine = kPanelDepth<V> + 16;

/// Units of a chunk at most.
template <class V>
constexpr int kGradientUnits = static_cast<int>(kGradientBytes /
                                                (kGradientLine<V> * int64_t{sizeof(ScalarOf<V>)}));

/// Units of each chunk out of `units`, the bias among them: chunks of equal size, each a whole
/// number of register blocks. One unit more may make one chunk more, and so smaller ones.
template <class V>
constexpr int gradient_units(int units) {
  const int chunks = (units + kGradientUnits<V> - 1) / kGradientUnits<V>;
  return ((units + chunks - 1) / chunks + kPanelRows - 1) / kPanelRows * kPanelRows;
}

/// Numbers of a panel with what whole vectors may write beyond its last row.
template <class V>
constexpr int64_t kGradientPanel = (kPanelDepth<V> + NumberTraits<V>::kLanes) * kPanelColumns<V>;

/// Numbers in a panel and a chunk of a Linear with `units` units, the bias among them.
template <class V>
int64_t gradient_scratch(int units) {
  return kGradientPanel<V> + gradient_units<V>(units) * kGradientLine<V>;
}

/// Copies `count` units of a run of steps into lines of their own: [unit][step][rows], without the
/// rows that a last tile lacks. In a tape the steps of a unit lie a power of two apart, where they
/// would evict each other from every cache.
template <class V>
void pack_lines(const ScalarOf<V>* from, int64_t step, int count, int steps, TileRows tile,
                ScalarOf<V>* to) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  const int rows = tile.real, groups = (rows + kWidth - 1) / kWidth;
  for (int t = 0; t < steps; ++t) {
    for (int k = 0; k < count; ++k) {
      // Whole vectors: what is too much, the next step writes over.
      ScalarOf<V>* const place = to + k * kGradientLine<V> + t * rows;
      for (int g = 0; g < groups; ++g) {
        const V numbers = at<V>(from + t * step + k * tile.stride + g * kWidth);
        __builtin_memcpy(place + g * kWidth, &numbers, sizeof(V));
      }
    }
  }
}

/// Turns up to a panel's width of the `left` outputs over a run of steps into a panel:
/// [step][row][output].
template <class V>
void pack_panel(const ScalarOf<V>* from, int64_t step, int left, int steps, TileRows tile,
                ScalarOf<V>* panel) {
  constexpr int kColumns = kPanelColumns<V>, kWidth = NumberTraits<V>::kLanes;
  constexpr int kCacheLine = 64 / int{sizeof(ScalarOf<V>)};
  const int rows = tile.real, outs = left < kColumns ? left : kColumns;
  const int next = left - outs < kColumns ? left - outs : kColumns;
  for (int t = 0; t < steps; ++t) {
    // The next panel's outputs lie behind these; from step to step it is too far to be foreseen.
    for (int o = outs; o < outs + next; ++o)
      for (int row = 0; row < rows; row += kCacheLine)
        __builtin_prefetch(from + t * step + o * tile.stride + row, 0, 2);
    for (int first = 0; first < rows; first += kWidth) {
      for (int g = 0; g < kGroups && g * kWidth < outs; ++g) {
        V square[kWidth];
        UNROLL(16)
        for (int i = 0; i < kWidth; ++i) {
          const int o = g * kWidth + i;
          square[i] = o < outs ? at<V>(from + t * step + o * tile.stride + first) : V(0);
        }
        if constexpr (kWidth > 1) transpose(square);
        // Whole vectors of rows, likewise.
        ScalarOf<V>* const to = panel + (t * rows + first) * kColumns + g * kWidth;
        UNROLL(16)
        for (int i = 0; i < kWidth; ++i) at<V>(to + i * kColumns) = square[i];
      }
    }
  }
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
