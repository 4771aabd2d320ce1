/// What crosses lanes: sums to promised bits, and rows turned into columns and back. Compiled once
/// per instruction set.
#include <vector>

#include "backend/cpu/across-inl.h"
#include "base/rng.h"
#include "native/check.h"

namespace lookback {
namespace {

double uniform(uint64_t i) { return 2 * uniform_at(7, RandomUse::kCaller, 1, i) - 1; }

/// Halves are added to each other, lanes i and i + half: the order that the comments promise.
template <class T>
T sum_in_order(Lanes<T> x) {
  constexpr int kWidth = Lanes<T>::kWidth;
  alignas(64) T line[kWidth];
  x.store(line);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) line[k] += line[k + half];
  }
  return line[0];
}

template <class T>
Lanes<T> random_lanes(uint64_t seed) {
  constexpr int kWidth = Lanes<T>::kWidth;
  alignas(64) T line[kWidth];
  for (int k = 0; k < kWidth; ++k)
    line[k] = static_cast<T>(uniform(seed * kWidth + static_cast<uint64_t>(k)));
  return Lanes<T>::load(line);
}

template <class T>
void check_sums() {
  for (uint64_t round = 0; round < 1000; ++round) {
    const Lanes<T> x = random_lanes<T>(round);
    CHECK_EQUAL(sum_lanes(x), sum_in_order(x));
  }
}

TEST(sum_of_lanes) {
  check_sums<float>();
  check_sums<double>();
}

/// Rows of every size up to beyond two squares, at places that are no multiple of a vector, into
/// columns and back. Beside the numbers nothing may change.
template <class T>
void check_columns() {
  using V = Lanes<T>;
  constexpr int kWidth = V::kWidth;
  constexpr int kStride = 2 * kWidth;
  for (int size = 1; size <= 2 * kWidth + 3; ++size) {
    const auto pitch = static_cast<size_t>(size) + 3;
    std::vector<T> given(pitch * kWidth), back(pitch * kWidth, T(-7));
    for (size_t i = 0; i < given.size(); ++i) given[i] = static_cast<T>(i);
    const T* from[kWidth];
    T* to[kWidth];
    for (int i = 0; i < kWidth; ++i) {
      from[i] = given.data() + static_cast<size_t>(i) * pitch + 1;
      to[i] = back.data() + static_cast<size_t>(i) * pitch + 1;
    }
    // Vectors of a tile begin on cache lines.
    std::vector<V> tile(static_cast<size_t>(2 * size), V(T(-7)));
    T* const column = reinterpret_cast<T*>(tile.data());
    load_columns<V>(from, size, column, kStride);
    for (int j = 0; j < size; ++j) {
      for (int i = 0; i < kWidth; ++i) {
        CHECK_EQUAL(column[j * kStride + i], from[i][j]);
        CHECK_EQUAL(column[j * kStride + kWidth + i], T(-7));
      }
    }
    store_columns<V>(column, kStride, size, to);
    for (size_t i = 0; i < given.size(); ++i) {
      const size_t j = i % pitch;
      const bool inside = j >= 1 && j < 1 + static_cast<size_t>(size);
      CHECK_EQUAL(back[i], inside ? given[i] : T(-7));
    }
  }
}

TEST(rows_and_columns) {
  check_columns<float>();
  check_columns<double>();
}

}  // namespace
}  // namespace lookback
