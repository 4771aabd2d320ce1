/// What crosses the lanes of vectors: sums over them, and squares of numbers turned over between
/// rows side by side (the public arrays) and a lane to a row (the tiles).
#pragma once

#include <cstddef>
#include <utility>

#include "math/lanes.h"

namespace lookback {
inline namespace LOOKBACK_ISA {

/// Of two vectors of blocks of kBlock lanes, a's odd blocks and b's even ones change places.
template <int kBlock, class T, size_t... kLane>
HD void swap_blocks(Lanes<T>& a, Lanes<T>& b, std::index_sequence<kLane...>) {
  constexpr size_t kWidth = sizeof...(kLane);
#if defined(__clang__)
  const auto even = __builtin_shufflevector(
      a.v, b.v, ((kLane & kBlock) != 0 ? kWidth + kLane - kBlock : kLane)...);
  b.v = __builtin_shufflevector(a.v, b.v,
                                ((kLane & kBlock) != 0 ? kWidth + kLane : kLane + kBlock)...);
#else
  using Int = typename VectorOf<T>::Int;
  using Ints = typename VectorOf<T>::IntType;
  const auto even = __builtin_shuffle(
      a.v, b.v, Ints{static_cast<Int>((kLane & kBlock) != 0 ? kWidth + kLane - kBlock : kLane)...});
  b.v = __builtin_shuffle(
      a.v, b.v, Ints{static_cast<Int>((kLane & kBlock) != 0 ? kWidth + kLane : kLane + kBlock)...});
#endif
  a.v = even;
}
template <int kBlock, class T>
HD void swap_blocks(Lanes<T>& a, Lanes<T>& b) {
  swap_blocks<kBlock>(a, b, std::make_index_sequence<Lanes<T>::kWidth>());
}

// Parts of vectors, by name for the reason that VectorOf has.
typedef float Floats4 __attribute__((vector_size(16)));
typedef float Floats8 __attribute__((vector_size(32)));
typedef double Doubles2 __attribute__((vector_size(16)));
typedef double Doubles4 __attribute__((vector_size(32)));

HD float sum_parts(Floats4 x) {
  x += __builtin_shufflevector(x, x, 2, 3, 2, 3);
  return x[0] + x[1];
}
HD double sum_parts(Doubles2 x) { return x[0] + x[1]; }

/// The sum of all lanes: l and l + kWidth / 2 first, then halving, in every width.
HD float sum_lanes(Lanes<float> x) {
#if defined(__AVX512F__)
  const Floats8 low = __builtin_shufflevector(x.v, x.v, 0, 1, 2, 3, 4, 5, 6, 7);
  const Floats8 eight = low + __builtin_shufflevector(x.v, x.v, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX2__)
  const Floats8 eight = x.v;
#endif
#if defined(__AVX2__)
  return sum_parts(__builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
                   __builtin_shufflevector(eight, eight, 4, 5, 6, 7));
#else
  return sum_parts(x.v);
#endif
}
HD double sum_lanes(Lanes<double> x) {
#if defined(__AVX512F__)
  const Doubles4 low = __builtin_shufflevector(x.v, x.v, 0, 1, 2, 3);
  const Doubles4 four = low + __builtin_shufflevector(x.v, x.v, 4, 5, 6, 7);
#elif defined(__AVX2__)
  const Doubles4 four = x.v;
#endif
#if defined(__AVX2__)
  return sum_parts(__builtin_shufflevector(four, four, 0, 1) +
                   __builtin_shufflevector(four, four, 2, 3));
#else
  return sum_parts(x.v);
#endif
}
template <class V>
HD ScalarOf<V> sum_lanes(V x) {
  return x;
}

/// Turns a square of kWidth vectors over: number j of vector i becomes number i of vector j.
template <int kBlock, class T>
HD void transpose_blocks(Lanes<T>* square) {
  UNROLL(16)
  for (int i = 0; i < Lanes<T>::kWidth; ++i)
    if ((i & kBlock) == 0) swap_blocks<kBlock>(square[i], square[i + kBlock]);
  if constexpr (kBlock > 1) transpose_blocks<kBlock / 2>(square);
}
template <class T>
HD void transpose(Lanes<T>* square) {
  transpose_blocks<Lanes<T>::kWidth / 2>(square);
}

/// to[j * stride + i] = rows[i][j] for a vector of rows of `size` numbers each.
template <class V>
void load_columns(const ScalarOf<V>* const* rows, int size, ScalarOf<V>* to, int stride) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  int j = 0;
  if constexpr (kWidth > 1) {
    for (; j + kWidth <= size; j += kWidth) {
      V square[kWidth];
      UNROLL(16)
      for (int i = 0; i < kWidth; ++i) __builtin_memcpy(&square[i], rows[i] + j, sizeof(V));
      transpose(square);
      UNROLL(16)
      for (int i = 0; i < kWidth; ++i) square[i].store(to + int64_t{j + i} * stride);
    }
  }
  for (; j < size; ++j)
    for (int i = 0; i < kWidth; ++i) to[int64_t{j} * stride + i] = rows[i][j];
}

/// rows[i][j] = from[j * stride + i].
template <class V>
void store_columns(const ScalarOf<V>* from, int stride, int size, ScalarOf<V>* const* rows) {
  constexpr int kWidth = NumberTraits<V>::kLanes;
  int j = 0;
  if constexpr (kWidth > 1) {
    for (; j + kWidth <= size; j += kWidth) {
      V square[kWidth];
      UNROLL(16)
      for (int i = 0; i < kWidth; ++i) square[i] = V::load(from + int64_t{j + i} * stride);
      transpose(square);
      UNROLL(16)
      for (int i = 0; i < kWidth; ++i) __builtin_memcpy(rows[i] + j, &square[i], sizeof(V));
    }
  }
  for (; j < size; ++j)
    for (int i = 0; i < kWidth; ++i) rows[i][j] = from[int64_t{j} * stride + i];
}

}  // namespace LOOKBACK_ISA
}  // namespace lookback
