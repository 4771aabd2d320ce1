/// Products that cuBLAS may form beside the same ones by our own kernel, on one device: every
/// layout that it takes, sizes around a tile of either, sums that go on.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/rng.h"
#include "native/check.h"

namespace lookback {

/// A matrix that lies in one piece, or with 5 numbers between its lines.
struct ProductLayout {
  ProductLayout(int64_t rows, int64_t cols, bool transposed, bool apart) {
    const int64_t line = (transposed ? rows : cols) + (apart ? 5 : 0);
    row = transposed ? 1 : line;
    col = transposed ? line : 1;
    size = line * (transposed ? cols : rows);
  }
  int64_t row, col, size;
};

template <class S>
Buffer<S> product_numbers(Backend<S>& backend, int64_t count, uint32_t stream) {
  std::vector<S> numbers;
  for (int64_t i = 0; i < count; ++i) {
    const double u = uniform_at(7, RandomUse::kCaller, stream, static_cast<uint64_t>(i));
    numbers.push_back(static_cast<S>(2 * u - 1));
  }
  Buffer<S> buffer(count, "an array of a test", backend.memory());
  backend.memory().copy_in(numbers.data(), count, buffer.data());
  return buffer;
}

/// Both orders of a sum of k terms below 1 are within k roundings of k / 2 of the exact one.
template <class S>
void check_both(Backend<S>& backend, int64_t m, int64_t n, int64_t k, int layouts, double beta) {
  const bool apart = (layouts & 4) != 0;
  const ProductLayout la(m, k, (layouts & 1) != 0, apart), lb(k, n, (layouts & 2) != 0, apart);
  const ProductLayout lc(m, n, false, apart);
  const Buffer<S> a = product_numbers(backend, la.size, 1),
                  b = product_numbers(backend, lb.size, 2);
  std::vector<S> results[2];
  for (const bool any_order : {false, true}) {
    Buffer<S> c = product_numbers(backend, lc.size, 3);
    Gemm<S> g;
    g.m = m, g.n = n, g.k = k;
    g.a = a.data(), g.a_row = la.row, g.a_col = la.col;
    g.b = b.data(), g.b_row = lb.row, g.b_col = lb.col;
    g.beta = static_cast<S>(beta), g.c = c.data(), g.c_row = lc.row;
    g.any_order = any_order;
    backend.gemm(g);
    results[any_order].resize(static_cast<size_t>(lc.size));
    backend.memory().copy_out(c.data(), lc.size, results[any_order].data());
  }
  const double size = static_cast<double>(k) + beta;
  const double bound = size * size * static_cast<double>(std::numeric_limits<S>::epsilon());
  for (size_t i = 0; i < results[0].size(); ++i) {
    const auto own = static_cast<double>(results[0][i]), other = static_cast<double>(results[1][i]);
    if (std::abs(own - other) <= bound) continue;
    return check::fail("products", 0,
                       text(m, " x ", n, " over ", k, ", layouts ", layouts, ", beta ", beta,
                            ", entry ", i, " is ", other, "; expected ", own));
  }
}

/// Sizes of a whole tile and more, too: on a GPU for its own kernels' sake.
template <class S>
void check_products(Backend<S>& backend) {
  for (const int64_t m : {1, 5, 70}) {
    for (const int64_t n : {1, 6, 131}) {
      for (const int64_t k : {1, 33}) {
        for (int layouts = 0; layouts < 8; ++layouts)
          check_both<S>(backend, m, n, k, layouts, layouts % 3 == 0 ? 0 : 1);
      }
    }
  }
  // A weight gradient: the sum goes over steps and rows.
  check_both<S>(backend, 20, 9, 1300, 5, 1);
}

}  // namespace lookback
