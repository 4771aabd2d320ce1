/// Matrix kernels, compiled once per instruction set. In the time loop a lane is a batch row, so
/// weights are broadcast and nothing is ever summed across lanes; every output is summed over k in
/// order, with one accumulator, whatever the block sizes: a row's bits depend on nothing but the
/// row.
#pragma once

#include "backend/cpu/across-inl.h"
#include "backend/cpu/kernels.h"
#include "backend/sequence.h"
#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// Lanes groups of a tile: two vectors of rows per broadcast weight. With kMaxBlock outputs that
/// makes 24 accumulators of 32 registers (AVX-512, NEON), or 12 of 16, beside the two rows vectors
/// and the broadcast.
constexpr int kGroups = 2;
constexpr int kMaxBlock = kVectorRegisters == 32 ? 12 : 6;
constexpr int kBlockSizes[5] = {kMaxBlock / 3, kMaxBlock / 2, kMaxBlock * 2 / 3, kMaxBlock * 5 / 6,
                                kMaxBlock};

template <class V>
constexpr int kTileRows = kGroups* NumberTraits<V>::kLanes;

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

/// kBlock outputs of `groups` vectors of rows; only the first `valid` are stored.
template <class V, int kBlock, int kUsed>
void linear_block(const ScalarOf<V>* w, const ScalarOf<V>* bias,
                  const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                  int valid, bool accumulate) {
  constexpr int kStride = kTileRows<V>, kWidth = NumberTraits<V>::kLanes;
  // Every loop over accumulators is unrolled: one that is not keeps them all in memory.
  V acc[kBlock][kUsed];
  UNROLL(12)
  for (int o = 0; o < kBlock; ++o) {
    UNROLL(2)
    for (int g = 0; g < kUsed; ++g) {
      if (accumulate && o < valid) {
        acc[o][g] = at<V>(out + o * kStride + g * kWidth);
      } else {
        acc[o][g] = bias != nullptr && o < valid ? V(bias[o]) : V(0);
      }
    }
  }
  if (!accumulate) {
    UNROLL(12)
    for (int o = 0; o < kBlock; ++o) {
      UNROLL(2)
      for (int g = 0; g < kUsed; ++g) __builtin_prefetch(out + o * kStride + g * kWidth, 1);
    }
  }
  for (int i = 0; i < operand_count; ++i) {
    const ScalarOf<V>* row = operands[i].data;
    const int size = operands[i].size;
    for (int k = 0; k < size; ++k, row += kStride, w += kBlock) {
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
      if (o < valid) at<V>(out + o * kStride + g * kWidth) = acc[o][g];
    }
  }
}

template <class V, int kUsed>
void linear_tile_blocks(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                        int operand_count, ScalarOf<V>* out, bool accumulate) {
  int64_t k = 0;
  for (int i = 0; i < operand_count; ++i) k += operands[i].size;
  for (int o = 0; o < m.rows; o += m.block) {
    const ScalarOf<V>* w = m.data + o * k;
    const ScalarOf<V>* bias = m.bias != nullptr ? m.bias + o : nullptr;
    ScalarOf<V>* to = out + static_cast<int64_t>(o) * kTileRows<V>;
    const int valid = m.rows - o < m.block ? m.rows - o : m.block;
    switch (m.block) {
      case kBlockSizes[0]:
        linear_block<V, kBlockSizes[0], kUsed>(w, bias, operands, operand_count, to, valid,
                                               accumulate);
        break;
      case kBlockSizes[1]:
        linear_block<V, kBlockSizes[1], kUsed>(w, bias, operands, operand_count, to, valid,
                                               accumulate);
        break;
      case kBlockSizes[2]:
        linear_block<V, kBlockSizes[2], kUsed>(w, bias, operands, operand_count, to, valid,
                                               accumulate);
        break;
      case kBlockSizes[3]:
        linear_block<V, kBlockSizes[3], kUsed>(w, bias, operands, operand_count, to, valid,
                                               accumulate);
        break;
      default:
        linear_block<V, kBlockSizes[4], kUsed>(w, bias, operands, operand_count, to, valid,
                                               accumulate);
    }
  }
}

/// Up to this many rows of a tile are faster one by one, a lane being an output, than all lanes at
/// once: a row costs 1 / kWidth of the whole in arithmetic, and loads the weights anew.
constexpr int kFewRows = 4;

/// Packed weights are read a whole vector at a time, up to this many numbers beyond the last.
static_assert(kVectorBytes / sizeof(float) <= kPackedOverrun);

/// One row, kBlock outputs a lane each, `kBlocks` blocks side by side to hide the latency of the
/// sums. Every output is summed over k in the same order as in linear_block, so to the same bits.
template <class V, int kBlock, int kBlocks>
void row_blocks(const ScalarOf<V>* w, int64_t depth, const ScalarOf<V>* bias,
                const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                int valid, bool accumulate) {
  using S = ScalarOf<V>;
  constexpr int kStride = kTileRows<V>, kWidth = NumberTraits<V>::kLanes;
  constexpr int kParts = (kBlock + kWidth - 1) / kWidth;
  alignas(64) S line[kBlocks][kParts * kWidth];
  V acc[kBlocks][kParts];
  UNROLL(4)
  for (int b = 0; b < kBlocks; ++b) {
    for (int i = 0; i < kParts * kWidth; ++i) {
      const int o = b * kBlock + i;
      const bool real = i < kBlock && o < valid;
      line[b][i] = !real ? S(0) : accumulate ? out[o * kStride] : bias != nullptr ? bias[o] : S(0);
    }
    UNROLL(4)
    for (int p = 0; p < kParts; ++p) acc[b][p] = at<V>(line[b] + p * kWidth);
  }
  for (int i = 0; i < operand_count; ++i) {
    const S* row = operands[i].data;
    const int size = operands[i].size;
    for (int k = 0; k < size; ++k, row += kStride, w += kBlock) {
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
      out[(b * kBlock + i) * kStride] = line[b][i];
  }
}

template <class V, int kBlock>
void row_outputs(const PackedMatrix<ScalarOf<V>>& m, int64_t depth,
                 const Operand<ScalarOf<V>>* operands, int operand_count, ScalarOf<V>* out,
                 bool accumulate) {
  constexpr int kBlocks = 4;
  for (int o = 0; o < m.rows;) {
    const bool wide = o + (kBlocks - 1) * kBlock < m.rows;
    const auto blocks = wide ? row_blocks<V, kBlock, kBlocks> : row_blocks<V, kBlock, 1>;
    const ScalarOf<V>* bias = m.bias != nullptr ? m.bias + o : nullptr;
    blocks(m.data + o * depth, depth, bias, operands, operand_count,
           out + static_cast<int64_t>(o) * kTileRows<V>, m.rows - o, accumulate);
    o += wide ? kBlocks * kBlock : kBlock;
  }
}

/// linear_tile for the first `rows` rows of a tile. The other lanes of `out` stay as they are.
template <class V>
void linear_rows(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                 int operand_count, ScalarOf<V>* out, bool accumulate, int rows) {
  int64_t depth = 0;
  for (int i = 0; i < operand_count; ++i) depth += operands[i].size;
  for (int row = 0; row < rows; ++row) {
    Operand<ScalarOf<V>> of_row[kMaxSources];
    for (int i = 0; i < operand_count; ++i) of_row[i] = {operands[i].data + row, operands[i].size};
    const auto run = m.block == kBlockSizes[0]   ? row_outputs<V, kBlockSizes[0]>
                     : m.block == kBlockSizes[1] ? row_outputs<V, kBlockSizes[1]>
                     : m.block == kBlockSizes[2] ? row_outputs<V, kBlockSizes[2]>
                     : m.block == kBlockSizes[3] ? row_outputs<V, kBlockSizes[3]>
                                                 : row_outputs<V, kBlockSizes[4]>;
    run(m, depth, of_row, operand_count, out + row, accumulate);
  }
}

/// out[rows][tile rows] = bias + packed weights times the operands, for the tile's first `rows`
/// rows.
template <class V>
void linear_tile(const PackedMatrix<ScalarOf<V>>& m, const Operand<ScalarOf<V>>* operands,
                 int operand_count, ScalarOf<V>* out, bool accumulate, int rows) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  if (kWidth > 1 && rows <= kFewRows && rows * 2 <= kWidth) {
    linear_rows<V>(m, operands, operand_count, out, accumulate, rows);
  } else if (rows > kWidth) {
    linear_tile_blocks<V, kGroups>(m, operands, operand_count, out, accumulate);
  } else {
    linear_tile_blocks<V, 1>(m, operands, operand_count, out, accumulate);
  }
}

#define LOOKBACK_LINEAR_TILE(S) \
  void linear_tile<Lanes<S>>(const PackedMatrix<S>&, const Operand<S>*, int, S*, bool, int)
// Instantiated in kernels/table.cc alone: the products are a third of what a cell's loops compile.
extern template LOOKBACK_LINEAR_TILE(float);
extern template LOOKBACK_LINEAR_TILE(double);

/// Register block of the weight gradient: kOut x kIn accumulators.
constexpr int kOut = kVectorRegisters == 32 ? 4 : 3, kIn = kVectorRegisters == 32 ? 6 : 4;

/// Units that a weight gradient takes at a time (a multiple of kIn), and the bytes that their run
/// of steps may fill: most of the second-level cache, which has 1 MB or more where vectors have 512
/// bits, and 512 KB or less elsewhere.
constexpr int kGradientUnits = 180;
#if defined(__AVX512F__)
constexpr int64_t kGradientBytes = 640 << 10;
#else
constexpr int64_t kGradientBytes = 384 << 10;
#endif

/// Steps that a chunk of `units` covers. At most 64: kOut rows of d_out for 64 steps fill the
/// first-level cache.
template <class V>
constexpr int gradient_run(int units) {
  const int64_t steps =
      kGradientBytes / (int64_t{units} * kTileRows<V> * int64_t{sizeof(ScalarOf<V>)});
  return static_cast<int>(steps < 8 ? 8 : steps > 64 ? 64 : steps);
}

/// Numbers that hold one unit of up to `steps` steps of a tile, a cache line more than a power of
/// two would ask for.
template <class V>
constexpr int64_t packed_line(int steps) {
  return int64_t{steps} * kTileRows<V> + 16;
}

/// Units of each chunk of a Linear with `depth` of them: chunks of equal size, each a whole number
/// of register blocks.
constexpr int gradient_units(int depth) {
  const int chunks = (depth + kGradientUnits - 1) / kGradientUnits;
  return ((depth + chunks - 1) / chunks + kIn - 1) / kIn * kIn;
}

/// Numbers in such a chunk with its rows of d_out.
template <class V>
int64_t gradient_scratch(int depth) {
  const int units = gradient_units(depth);
  return (units + kOut) * packed_line<V>(gradient_run<V>(units));
}

/// Steps that a chunk of a tile with `rows` rows covers: as many as its lines hold, which have room
/// for `run` steps of a full tile.
template <class V>
constexpr int steps_of_run(int run, int rows) {
  return rows == kTileRows<V> ? run : (run - 1) * kTileRows<V> / rows;
}

/// Vectors that `steps` steps of `rows` rows fill.
template <class V>
constexpr int packed_vectors(int steps, int rows) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  return (steps * rows + kWidth - 1) / kWidth;
}

/// Copies `count` units of a run of steps into lines of their own: [unit][step][rows], without the
/// rows that a last tile lacks. In a tape the steps of a unit lie a power of two apart, where they
/// would evict each other from every cache.
template <class V>
void pack_lines(const ScalarOf<V>* from, int64_t step, int count, int steps, int rows, int64_t line,
                ScalarOf<V>* to) {
  using S = ScalarOf<V>;
  constexpr int kStride = kTileRows<V>, kWidth = NumberTraits<V>::kLanes;
  const int groups = (rows + kWidth - 1) / kWidth;
  for (int t = 0; t < steps; ++t) {
    for (int k = 0; k < count; ++k) {
      // Whole vectors: what is too much, the next step writes over.
      S* const place = to + k * line + t * rows;
      for (int g = 0; g < groups; ++g) {
        const V numbers = at<V>(from + t * step + k * kStride + g * kWidth);
        __builtin_memcpy(place + g * kWidth, &numbers, sizeof(V));
      }
    }
  }
  const int end = steps * rows;
  for (int k = 0; end % kWidth != 0 && k < count; ++k)
    for (int i = end; i % kWidth != 0; ++i) to[k * line + i] = S(0);
}

/// dW[o][k] += sum over `vectors` vectors of d[o] x[k], for o < kOut, k < kIn; those beyond the
/// valid ones repeat the last and are dropped.
template <class V>
void outer_block(const ScalarOf<V>* d, int outs, const ScalarOf<V>* x, int ins, int64_t line,
                 int vectors, ScalarOf<V>* dW, int64_t stride) {
  using S = ScalarOf<V>;
  constexpr int kWidth = NumberTraits<V>::kLanes;
  constexpr int kSums = (kOut * kIn + kWidth - 1) / kWidth * kWidth;
  const S* dp[kOut];
  const S* xp[kIn];
  for (int o = 0; o < kOut; ++o) dp[o] = d + (o < outs ? o : outs - 1) * line;
  for (int k = 0; k < kIn; ++k) xp[k] = x + (k < ins ? k : ins - 1) * line;
  V acc[kSums];  // [kOut][kIn]
  UNROLL(32)
  for (int i = 0; i < kSums; ++i) acc[i] = V(0);
  for (int64_t i = 0; i < int64_t{vectors} * kWidth; i += kWidth) {
    V left[kOut];
    UNROLL(4)
    for (int o = 0; o < kOut; ++o) left[o] = at<V>(dp[o] + i);
    UNROLL(6)
    for (int k = 0; k < kIn; ++k) {
      const V right = at<V>(xp[k] + i);
      UNROLL(4)
      for (int o = 0; o < kOut; ++o) acc[o * kIn + k] = fma(left[o], right, acc[o * kIn + k]);
    }
  }
  alignas(64) S sums[kSums];
  UNROLL(24)
  for (int i = 0; i < kSums; i += kWidth) at<V>(sums + i) = sums_of_lanes(acc + i);
  for (int o = 0; o < outs; ++o) {
    for (int k = 0; k < ins; ++k) dW[o * stride + k] += sums[o * kIn + k];
  }
}

template <class V>
void bias_block(const ScalarOf<V>* d, int outs, int64_t line, int vectors, ScalarOf<V>* db) {
  for (int o = 0; o < outs; ++o) {
    V acc(0);
    for (int i = 0; i < vectors; ++i)
      acc += at<V>(d + o * line + int64_t{i} * NumberTraits<V>::kLanes);
    db[o] += sum_lanes(acc);
  }
}

/// One product of the dense layers: kRows rows of A against a packed panel of B.
template <class V, int kRows>
void gemm_rows(const Gemm<ScalarOf<V>>& g, int64_t row, int64_t col, int columns,
               const ScalarOf<V>* panel) {
  using S = ScalarOf<V>;
  constexpr int kWidth = NumberTraits<V>::kLanes;
  V acc[kRows][kGroups];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kGroups; ++v) acc[i][v] = V(0);
  }
  const S* a = g.a + row * g.a_row;
  for (int64_t k = 0; k < g.k; ++k, a += g.a_col, panel += kTileRows<V>) {
    V b[kGroups];
    UNROLL(2)
    for (int v = 0; v < kGroups; ++v) b[v] = at<V>(panel + v * kWidth);
    UNROLL(6)
    for (int i = 0; i < kRows; ++i) {
      const V weight(a[i * g.a_row]);
      UNROLL(2)
      for (int v = 0; v < kGroups; ++v) acc[i][v] = fma(weight, b[v], acc[i][v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    alignas(64) S line[kTileRows<V>];
    for (int v = 0; v < kGroups; ++v) at<V>(line + v * kWidth) = acc[i][v];
    S* c = g.c + (row + i) * g.c_row + col;
    for (int j = 0; j < columns; ++j) c[j] = g.beta == S(0) ? line[j] : g.beta * c[j] + line[j];
  }
}

template <class V>
void gemm(const Gemm<ScalarOf<V>>& g, int64_t m_begin, int64_t m_end, int64_t n_begin,
          int64_t n_end, ScalarOf<V>* panel) {
  constexpr int kPanel = kTileRows<V>;
  for (int64_t col = n_begin; col < n_end; col += kPanel) {
    const int columns = static_cast<int>(n_end - col < kPanel ? n_end - col : kPanel);
    for (int64_t k = 0; k < g.k; ++k) {
      const ScalarOf<V>* b = g.b + k * g.b_row + col * g.b_col;
      ScalarOf<V>* to = panel + k * kPanel;
      for (int j = 0; j < columns; ++j) to[j] = b[j * g.b_col];
      for (int j = columns; j < kPanel; ++j) to[j] = ScalarOf<V>(0);
    }
    int64_t row = m_begin;
    for (; row + 6 <= m_end; row += 6) gemm_rows<V, 6>(g, row, col, columns, panel);
    for (; row < m_end; ++row) gemm_rows<V, 1>(g, row, col, columns, panel);
  }
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
