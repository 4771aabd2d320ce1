/// Matrix kernels, compiled once per instruction set. In the time loop a lane is a batch row, so
/// weights are broadcast and nothing is ever summed across lanes; every output is summed over k in
/// order, with one accumulator, whatever the block sizes: a row's bits depend on nothing but the
/// row. Products over many rows, of dense layers and of weight gradients, are summed in parts.
#pragma once

#include "backend/cpu/across-inl.h"
#include "backend/cpu/kernels.h"
#include "backend/sequence.h"
#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// Vectors of rows of a tile, or of columns of a panel, at most: two per broadcast weight. With
/// kMaxBlock outputs that makes 24 accumulators of 32 registers (AVX-512, NEON), or 12 of 16,
/// beside the two rows vectors and the broadcast.
constexpr int kGroups = 2;
constexpr int kMaxBlock = kVectorRegisters == 32 ? 12 : 6;
constexpr int kBlockSizes[5] = {kMaxBlock / 3, kMaxBlock / 2, kMaxBlock * 2 / 3, kMaxBlock * 5 / 6,
                                kMaxBlock};

template <class V, int kVectors = kGroups>
constexpr int kTileRows = kVectors* NumberTraits<V>::kLanes;
template <class V>
constexpr int kPanelColumns = kGroups* NumberTraits<V>::kLanes;

template <class S>
struct Operand {
  const S* data = nullptr;  ///< [size][tile rows]
  int size = 0;
};

template <class V>
HD V& at(ScalarOf<V>* p) {
  return *reinterpret_cast<V*>(p);
}
template <class V>
HD const V& at(const ScalarOf<V>* p) {
  return *reinterpret_cast<const V*>(p);
}

/// The rows of a tile that are real, and those that it has room for: the stride of its columns.
struct TileRows {
  int real = 0, stride = 0;
};

/// kBlock outputs of kUsed vectors of rows; only the first `valid` are stored.
template <class V, int kBlock, int kUsed>
void linear_block(const ScalarOf<V>* w, const ScalarOf<V>* bias,
                  const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                  int64_t stride, int valid, bool accumulate) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  // Every loop over accumulators is unrolled: one that is not keeps them all in memory.
  V acc[kBlock][kUsed];
  UNROLL(12)
  for (int o = 0; o < kBlock; ++o) {
    UNROLL(2)
    for (int g = 0; g < kUsed; ++g) {
      if (accumulate && o < valid) {
        acc[o][g] = at<V>(out + o * stride + g * kWidth);
      } else {
        acc[o][g] = bias != nullptr && o < valid ? V(bias[o]) : V(0);
      }
    }
  }
  if (!accumulate) {
    UNROLL(12)
    for (int o = 0; o < kBlock; ++o) {
      UNROLL(2)
      for (int g = 0; g < kUsed; ++g) __builtin_prefetch(out + o * stride + g * kWidth, 1);
    }
  }
  for (int i = 0; i < operand_count; ++i) {
    const ScalarOf<V>* row = operands[i].data;
    const int size = operands[i].size;
    for (int k = 0; k < size; ++k, row += stride, w += kBlock) {
      V x[kUsed];
      UNROLL(2)
      for (int g = 0; g < kUsed; ++g) x[g] = at<V>(row + g * kWidth);
      UNROLL(12)
      for (int o = 0; o < kBlock; ++o) {
        const V weight(w[o]);
        UNROLL(2)
        for (int g = 0; g < kUsed; ++g) acc[o][g] = fma(weight, x[g], acc[o][g]);
      }
    }
  }
  UNROLL(12)
  for (int o = 0; o < kBlock; ++o) {
    UNROLL(2)
    for (int g = 0; g < kUsed; ++g) {
      if (o < valid) at<V>(out + o * stride + g * kWidth) = acc[o][g];
    }
  }
}

template <class V, int kUsed>
void linear_tile_blocks(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                        int operand_count, ScalarOf<V>* out, int64_t stride, bool accumulate) {
  int64_t k = 0;
  for (int i = 0; i < operand_count; ++i) k += operands[i].size;
  for (int o = 0; o < m.rows; o += m.block) {
    const ScalarOf<V>* w = m.data + o * k;
    const ScalarOf<V>* bias = m.bias != nullptr ? m.bias + o : nullptr;
    ScalarOf<V>* to = out + o * stride;
    const int valid = m.rows - o < m.block ? m.rows - o : m.block;
    switch (m.block) {
      case kBlockSizes[0]:
        linear_block<V, kBlockSizes[0], kUsed>(w, bias, operands, operand_count, to, stride, valid,
                                               accumulate);
        break;
      case kBlockSizes[1]:
        linear_block<V, kBlockSizes[1], kUsed>(w, bias, operands, operand_count, to, stride, valid,
                                               accumulate);
        break;
      case kBlockSizes[2]:
        linear_block<V, kBlockSizes[2], kUsed>(w, bias, operands, operand_count, to, stride, valid,
                                               accumulate);
        break;
      case kBlockSizes[3]:
        linear_block<V, kBlockSizes[3], kUsed>(w, bias, operands, operand_count, to, stride, valid,
                                               accumulate);
        break;
      default:
        linear_block<V, kBlockSizes[4], kUsed>(w, bias, operands, operand_count, to, stride, valid,
                                               accumulate);
    }
  }
}

/// Up to this many rows of a tile are faster one by one, a lane being an output, than all lanes at
/// once: a row costs 1 / kWidth of the whole in arithmetic, and loads the weights anew.
template <class V>
constexpr int few_rows() {
  return kFewRows < NumberTraits<V>::kLanes / 2 ? kFewRows : NumberTraits<V>::kLanes / 2;
}

/// Packed weights are read a whole vector at a time, up to this many numbers beyond the last.
static_assert(kVectorBytes / sizeof(float) <= kPackedOverrun);

/// One row, kBlock outputs a lane each, `kBlocks` blocks side by side to hide the latency of the
/// sums. Every output is summed over k in the same order as in linear_block, so to the same bits.
template <class V, int kBlock, int kBlocks>
void row_blocks(const ScalarOf<V>* w, int64_t depth, const ScalarOf<V>* bias,
                const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                int64_t stride, int valid, bool accumulate) {
  using S = ScalarOf<V>;
  constexpr int kWidth = NumberTraits<V>::kLanes;
  constexpr int kParts = (kBlock + kWidth - 1) / kWidth;
  alignas(64) S line[kBlocks][kParts * kWidth];
  V acc[kBlocks][kParts];
  UNROLL(4)
  for (int b = 0; b < kBlocks; ++b) {
    for (int i = 0; i < kParts * kWidth; ++i) {
      const int o = b * kBlock + i;
      const bool real = i < kBlock && o < valid;
      line[b][i] = !real ? S(0) : accumulate ? out[o * stride] : bias != nullptr ? bias[o] : S(0);
    }
    UNROLL(4)
    for (int p = 0; p < kParts; ++p) acc[b][p] = at<V>(line[b] + p * kWidth);
  }
  for (int i = 0; i < operand_count; ++i) {
    const S* row = operands[i].data;
    const int size = operands[i].size;
    for (int k = 0; k < size; ++k, row += stride, w += kBlock) {
      const V x(*row);
      UNROLL(4)
      for (int b = 0; b < kBlocks; ++b) {
        UNROLL(4)
        for (int p = 0; p < kParts; ++p) {
          V weight;
          __builtin_memcpy(&weight, w + b * depth * kBlock + p * kWidth, sizeof(V));
          acc[b][p] = fma(weight, x, acc[b][p]);
        }
      }
    }
  }
  UNROLL(4)
  for (int b = 0; b < kBlocks; ++b) {
    UNROLL(4)
    for (int p = 0; p < kParts; ++p) at<V>(line[b] + p * kWidth) = acc[b][p];
    for (int i = 0; i < kBlock && b * kBlock + i < valid; ++i)
      out[(b * kBlock + i) * stride] = line[b][i];
  }
}

template <class V, int kBlock>
void row_outputs(const PackedMatrix<ScalarOf<V>>& m, int64_t depth,
                 const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                 int64_t stride, bool accumulate) {
  constexpr int kBlocks = 4;
  for (int o = 0; o < m.rows;) {
    const bool wide = o + (kBlocks - 1) * kBlock < m.rows;
    const auto blocks = wide ? row_blocks<V, kBlock, kBlocks> : row_blocks<V, kBlock, 1>;
    const ScalarOf<V>* bias = m.bias != nullptr ? m.bias + o : nullptr;
    blocks(m.data + o * depth, depth, bias, operands, operand_count, out + o * stride, stride,
           m.rows - o, accumulate);
    o += wide ? kBlocks * kBlock : kBlock;
  }
}

/// linear_tile for the real rows of a tile. The other lanes of `out` stay as they are.
template <class V>
void linear_rows(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                 int operand_count, ScalarOf<V>* out, bool accumulate, TileRows rows) {
  int64_t depth = 0;
  for (int i = 0; i < operand_count; ++i) depth += operands[i].size;
  for (int row = 0; row < rows.real; ++row) {
    Operand<ScalarOf<V>> of_row[kMaxSources];
    for (int i = 0; i < operand_count; ++i) of_row[i] = {operands[i].data + row, operands[i].size};
    const auto run = m.block == kBlockSizes[0]   ? row_outputs<V, kBlockSizes[0]>
                     : m.block == kBlockSizes[1] ? row_outputs<V, kBlockSizes[1]>
                     : m.block == kBlockSizes[2] ? row_outputs<V, kBlockSizes[2]>
                     : m.block == kBlockSizes[3] ? row_outputs<V, kBlockSizes[3]>
                                                 : row_outputs<V, kBlockSizes[4]>;
    run(m, depth, of_row, operand_count, out + row, rows.stride, accumulate);
  }
}

/// out[outputs][tile rows] = bias + packed weights times the operands, for the tile's real rows.
template <class V>
void linear_tile(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                 int operand_count, ScalarOf<V>* out, bool accumulate, TileRows rows) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  if (rows.real <= few_rows<V>()) {
    linear_rows<V>(m, operands, operand_count, out, accumulate, rows);
  } else if (rows.real > kWidth) {
    linear_tile_blocks<V, kGroups>(m, operands, operand_count, out, rows.stride, accumulate);
  } else {
    linear_tile_blocks<V, 1>(m, operands, operand_count, out, rows.stride, accumulate);
  }
}

#define LOOKBACK_LINEAR_TILE(S) \
  void linear_tile<Lanes<S>>(const PackedMatrix<S>&, const Operand<S>*, int, S*, bool, TileRows)
// Instantiated in kernels/table.cc alone: the products are a third of what a cell's loops compile.
extern template LOOKBACK_LINEAR_TILE(float);
extern template LOOKBACK_LINEAR_TILE(double);

/// Rows of A that are multiplied by a packed panel of B at a time: with kGroups vectors of columns
/// 12 sums, which hide the latency of a multiply-add.
constexpr int kPanelRows = 6;

/// Rows of B in a panel: half of a first-level cache of 32 KB.
template <class V>
constexpr int kPanelDepth = 16384 / (kPanelColumns<V> * int{sizeof(ScalarOf<V>)});

/// c = beta c + sum for the first `count` lanes; with beta 0 what was in c does not matter.
template <class V>
void add_to(ScalarOf<V>* c, V sum, int count, ScalarOf<V> beta) {
  using S = ScalarOf<V>;
  constexpr int kWidth = NumberTraits<V>::kLanes;
  if (count >= kWidth) {
    if (beta != S(0)) {
      V old;
      __builtin_memcpy(&old, c, sizeof(V));
      sum += V(beta) * old;
    }
    __builtin_memcpy(c, &sum, sizeof(V));
    return;
  }
  alignas(64) S line[kWidth];
  at<V>(line) = sum;
  for (int j = 0; j < count; ++j) c[j] = beta == S(0) ? line[j] : line[j] + beta * c[j];
}

/// kRows rows of g.a times a packed panel [g.k][kPanelColumns] of which g.n columns count, in kUsed
/// vectors.
template <class V, int kRows, int kUsed>
void panel_block(const Gemm<ScalarOf<V>>& g, const ScalarOf<V>* panel) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  V acc[kRows][kUsed];
  UNROLL(6)
  for (int i = 0; i < kRows; ++i) {
    UNROLL(2)
    for (int v = 0; v < kUsed; ++v) acc[i][v] = V(0);
  }
  const ScalarOf<V>* a = g.a;
  for (int64_t k = 0; k < g.k; ++k, a += g.a_col, panel += kPanelColumns<V>) {
    V b[kUsed];
    UNROLL(2)
    for (int v = 0; v < kUsed; ++v) b[v] = at<V>(panel + v * kWidth);
    UNROLL(6)
    for (int i = 0; i < kRows; ++i) {
      const V weight(a[i * g.a_row]);
      UNROLL(2)
      for (int v = 0; v < kUsed; ++v) acc[i][v] = fma(weight, b[v], acc[i][v]);
    }
  }
  const int columns = static_cast<int>(g.n);
  UNROLL(6)
  for (int i = 0; i < kRows; ++i) {
    UNROLL(2)
    for (int v = 0; v < kUsed; ++v)
      add_to(g.c + i * g.c_row + v * kWidth, acc[i][v], columns - v * kWidth, g.beta);
  }
}

/// g with a panel for B: all its rows, and at most one panel of columns.
template <class V, int kUsed>
void multiply_panel(Gemm<ScalarOf<V>> g, const ScalarOf<V>* panel) {
  while (g.m > 0) {
    const auto run = g.m >= kPanelRows ? panel_block<V, kPanelRows, kUsed>
                     : g.m == 5        ? panel_block<V, 5, kUsed>
                     : g.m == 4        ? panel_block<V, 4, kUsed>
                     : g.m == 3        ? panel_block<V, 3, kUsed>
                     : g.m == 2        ? panel_block<V, 2, kUsed>
                                       : panel_block<V, 1, kUsed>;
    run(g, panel);
    g.m -= kPanelRows;
    g.a += kPanelRows * g.a_row;
    g.c += kPanelRows * g.c_row;
  }
}
template <class V>
void multiply_panel(const Gemm<ScalarOf<V>>& g, const ScalarOf<V>* panel) {
  if (g.n > NumberTraits<V>::kLanes) return multiply_panel<V, kGroups>(g, panel);
  multiply_panel<V, 1>(g, panel);
}

/// Up to a panel's width of columns of B: [row of B][column], zeros beyond the last one.
template <class V>
void pack_columns(const Gemm<ScalarOf<V>>& g, ScalarOf<V>* panel) {
  using S = ScalarOf<V>;
  constexpr int kPanel = kPanelColumns<V>;
  const int columns = static_cast<int>(g.n);
  for (int64_t k = 0; k < g.k; ++k, panel += kPanel) {
    const S* b = g.b + k * g.b_row;
    if (g.b_col == 1 && columns == kPanel) {
      __builtin_prefetch(b + kPanel, 0, 2);  // the next panel's
      __builtin_memcpy(panel, b, kPanel * sizeof(S));
      continue;
    }
    for (int j = 0; j < columns; ++j) panel[j] = b[j * g.b_col];
    for (int j = columns; j < kPanel; ++j) panel[j] = S(0);
  }
}

/// Rows of A that are packed together where they lie across memory: 192 KB of the second-level
/// cache.
template <class V>
constexpr int kPackedRows = (192 << 10) /
                            (kPanelDepth<V> * int{sizeof(ScalarOf<V>)}) / kPanelRows* kPanelRows;

/// Lays kPanelRows rows side by side, so that a step along k stays in a cache line.
template <class V>
void pack_rows(const Gemm<ScalarOf<V>>& g, ScalarOf<V>* to) {
  constexpr int kAhead = 8;
  const int64_t whole = g.a_row == 1 ? g.m / kPanelRows * kPanelRows : 0;
  for (int64_t k = 0; k < g.k; ++k, to += kPanelRows) {
    const ScalarOf<V>* a = g.a + k * g.a_col;
    for (int64_t row = 0; row < whole; row += kPanelRows) {
      __builtin_prefetch(a + row + kAhead * g.a_col);
      __builtin_memcpy(to + row * g.k, a + row, kPanelRows * sizeof(*a));
    }
    for (int64_t row = whole; row < g.m; ++row)
      to[row / kPanelRows * kPanelRows * g.k + row % kPanelRows] = a[row * g.a_row];
  }
}

/// Numbers of a packed panel and of the packed rows behind it.
template <class V>
constexpr int64_t kGemmScratch = int64_t{kPanelDepth<V>} * (kPanelColumns<V> + kPackedRows<V>);

/// The rows of `g`, a part of k at most kPanelDepth long, times every column.
template <class V>
void multiply_part(const Gemm<ScalarOf<V>>& g, ScalarOf<V>* scratch) {
  constexpr int kPanel = kPanelColumns<V>;
  ScalarOf<V>* const packed = scratch + kPanelDepth<V> * kPanel;
  const bool across = g.a_col != 1;
  if (across) pack_rows<V>(g, packed);
  for (int64_t col = 0; col < g.n; col += kPanel) {
    Gemm<ScalarOf<V>> part = g;
    part.n = g.n - col < kPanel ? g.n - col : kPanel;
    part.b += col * g.b_col;
    part.c += col;
    pack_columns<V>(part, scratch);
    if (!across) {
      multiply_panel<V>(part, scratch);
      continue;
    }
    part.a_row = 1;
    part.a_col = kPanelRows;
    for (int64_t row = 0; row < g.m; row += kPanelRows) {
      part.m = g.m - row < kPanelRows ? g.m - row : kPanelRows;
      part.a = packed + row * g.k;
      part.c = g.c + row * g.c_row + col;
      multiply_panel<V>(part, scratch);
    }
  }
}

/// One product of the dense layers. Every element is summed in parts of kPanelDepth, each in order
/// and with one accumulator, which are added up in order: its bits depend on nothing but its row of
/// A and its column of B.
template <class V>
void gemm(const Gemm<ScalarOf<V>>& g, int64_t m_begin, int64_t m_end, int64_t n_begin,
          int64_t n_end, ScalarOf<V>* scratch) {
  const int64_t most = g.a_col == 1 ? m_end - m_begin : kPackedRows<V>;
  int64_t k = 0;
  do {
    const int64_t depth = g.k - k < kPanelDepth<V> ? g.k - k : kPanelDepth<V>;
    for (int64_t row = m_begin; row < m_end; row += most) {
      Gemm<ScalarOf<V>> part = g;
      part.m = m_end - row < most ? m_end - row : most;
      part.n = n_end - n_begin;
      part.k = depth;
      part.a += row * g.a_row + k * g.a_col;
      part.b += k * g.b_row + n_begin * g.b_col;
      part.c += row * g.c_row + n_begin;
      if (k > 0) part.beta = ScalarOf<V>(1);
      multiply_part<V>(part, scratch);
    }
    k += depth;
  } while (k < g.k);
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
