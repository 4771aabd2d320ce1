/// The matrix product of the device: tiles in shared memory, a small tile of sums in every thread's
/// registers.
///
/// The order of summation depends on k alone: slices of `kGemmSlice`, each in order, then the
/// slices in order. A product with few tiles gives its slices to different blocks, one with many
/// tiles to one block after another; both have the same bits.
#pragma once

#include <cstdint>

#include "backend/cuda/operations.h"
#include "math/scalar.h"

namespace lookback {

constexpr int64_t kGemmSlice = 512;

/// Outputs of a block, how far it reaches along k at a time, and outputs of a thread.
template <int kM, int kN, int kK, int kThreadM, int kThreadN>
struct GemmTile {
  static constexpr int m = kM, n = kN, k = kK, thread_m = kThreadM, thread_n = kThreadN;
  static constexpr int threads = (kM / kThreadM) * (kN / kThreadN);
};
using GpuGemmTile = GemmTile<64, 64, 16, 4, 4>;
/// Small and odd, for the host.
using EmulatedGemmTile = GemmTile<4, 6, 5, 2, 3>;

/// `Tile` is the device's; `GemmOp<S, void>` is what crosses the table.
template <class S, class Tile = void>
struct GemmOp {
  static constexpr CudaOperation kId = kCudaGemm;
  Gemm<S> product;
  /// [slices][m][n], or null: the block sums all slices and writes C itself.
  S* partial;
};

template <class S>
HD int64_t gemm_slices(const Gemm<S>& g) {
  return g.k <= kGemmSlice ? 1 : (g.k + kGemmSlice - 1) / kGemmSlice;
}

template <class S, class Tile>
HD int64_t gemm_tiles(const Gemm<S>& g) {
  return ((g.m + Tile::m - 1) / Tile::m) * ((g.n + Tile::n - 1) / Tile::n);
}

template <class S, class Tile>
struct GemmBody {
  static constexpr int64_t kShared = (Tile::m + Tile::n) * Tile::k * sizeof(S);
  GemmOp<S> op;

  HD int64_t blocks() const {
    const int64_t tiles = gemm_tiles<S, Tile>(op.product);
    return op.partial == nullptr ? tiles : tiles * gemm_slices(op.product);
  }

  template <class Block>
  HD void operator()(const Block& block) const {
    const Gemm<S>& g = op.product;
    const int64_t tiles = gemm_tiles<S, Tile>(g), across = (g.n + Tile::n - 1) / Tile::n;
    const int64_t tile = block.index() % tiles, slices = gemm_slices(g);
    const int64_t row = tile / across * Tile::m, col = tile % across * Tile::n;
    const int64_t own = op.partial == nullptr ? 0 : block.index() / tiles;
    const int64_t end = op.partial == nullptr ? slices : own + 1;
    S total[Tile::thread_m][Tile::thread_n] = {};
    for (int64_t slice = own; slice < end; ++slice) {
      S sums[Tile::thread_m][Tile::thread_n] = {};
      const int64_t last = (slice + 1) * kGemmSlice < g.k ? (slice + 1) * kGemmSlice : g.k;
      for (int64_t k = slice * kGemmSlice; k < last; k += Tile::k)
        add_panel(block, row, col, k, last, sums);
      for (int i = 0; i < Tile::thread_m; ++i) {
        for (int j = 0; j < Tile::thread_n; ++j) total[i][j] += sums[i][j];
      }
    }
    store(block, row, col, own, total);
  }

 private:
  /// Neighbouring threads read neighbouring numbers, along whichever index that is.
  template <class Block>
  HD void load(const Block& block, const S* from, int64_t stride, int64_t k_stride, int64_t first,
               int64_t count, int64_t k, int64_t last, int width, S* to) const {
    for (int i = block.thread(); i < width * Tile::k; i += block.threads()) {
      const int at = k_stride == 1 ? i / Tile::k : i % width;
      const int depth = k_stride == 1 ? i % Tile::k : i / width;
      const bool inside = first + at < count && k + depth < last;
      to[depth * width + at] = inside ? from[(first + at) * stride + (k + depth) * k_stride] : S(0);
    }
  }

  template <class Block>
  HD void add_panel(const Block& block, int64_t row, int64_t col, int64_t k, int64_t last,
                    S (&sums)[Tile::thread_m][Tile::thread_n]) const {
    const Gemm<S>& g = op.product;
    S* a = block.template shared<S>();
    S* b = a + Tile::m * Tile::k;
    load(block, g.a, g.a_row, g.a_col, row, g.m, k, last, Tile::m, a);
    load(block, g.b, g.b_col, g.b_row, col, g.n, k, last, Tile::n, b);
    block.sync();
    const int across = Tile::n / Tile::thread_n;
    const int i0 = block.thread() / across, j0 = block.thread() % across;
    for (int depth = 0; depth < Tile::k; ++depth) {
      S left[Tile::thread_m], right[Tile::thread_n];
      for (int i = 0; i < Tile::thread_m; ++i)
        left[i] = a[depth * Tile::m + i0 + i * (Tile::m / Tile::thread_m)];
      for (int j = 0; j < Tile::thread_n; ++j) right[j] = b[depth * Tile::n + j0 + j * across];
      for (int i = 0; i < Tile::thread_m; ++i) {
        for (int j = 0; j < Tile::thread_n; ++j) sums[i][j] = fma(left[i], right[j], sums[i][j]);
      }
    }
    block.sync();
  }

  template <class Block>
  HD void store(const Block& block, int64_t row, int64_t col, int64_t slice,
                const S (&total)[Tile::thread_m][Tile::thread_n]) const {
    const Gemm<S>& g = op.product;
    const int across = Tile::n / Tile::thread_n;
    for (int i = 0; i < Tile::thread_m; ++i) {
      const int64_t r = row + block.thread() / across + i * (Tile::m / Tile::thread_m);
      for (int j = 0; j < Tile::thread_n; ++j) {
        const int64_t c = col + block.thread() % across + j * across;
        if (r >= g.m || c >= g.n) continue;
        if (op.partial != nullptr) {
          op.partial[(slice * g.m + r) * g.n + c] = total[i][j];
        } else {
          S* to = g.c + r * g.c_row + c;
          *to = g.beta == S(0) ? total[i][j] : g.beta * *to + total[i][j];
        }
      }
    }
  }
};

/// A product that is given to cuBLAS (blas.h), where the session has it.
template <class S>
struct BlasGemmOp {
  static constexpr CudaOperation kId = kCudaBlasGemm;
  Gemm<S> product;
};

/// Adds the slices of a product in order.
template <class S>
struct GemmSumOp {
  static constexpr CudaOperation kId = kCudaGemmSum;
  Gemm<S> product;
  const S* partial;
  HD int64_t items() const { return product.m * product.n; }
  HD void operator()(int64_t i) const {
    S total(0);
    for (int64_t slice = 0; slice < gemm_slices(product); ++slice)
      total += partial[slice * items() + i];
    S* to = product.c + i / product.n * product.c_row + i % product.n;
    *to = product.beta == S(0) ? total : product.beta * *to + total;
  }
};

}  // namespace lookback
