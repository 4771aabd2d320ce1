/// The matrix kernels against plain loops. Compiled once per instruction set.
///
/// A sum of k products in floating point errs by at most k u sum |a_i b_i| to first order, whatever
/// its order, with u half the machine epsilon and one more rounding a product where it is not fused
/// (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). The plain loops sum in
/// long double, and the bound is taken with epsilon for u.
#include <atomic>
#include <limits>
#include <vector>

#include "backend/cpu/gemm-inl.h"
#include "backend/cpu/sequence-inl.h"
#include "base/rng.h"
#include "native/check.h"
#include "native/guarded.h"

namespace lookback {
namespace {

double uniform(uint32_t stream, int64_t i) {
  return 2 * uniform_at(11, RandomUse::kCaller, stream, static_cast<uint64_t>(i)) - 1;
}

template <class S>
void fill(Guarded<S>& to, uint32_t stream) {
  for (int64_t i = 0; i < to.size(); ++i) to[i] = static_cast<S>(uniform(stream, i));
}

/// A sum in long double with the sum of magnitudes beside it.
struct Sum {
  long double value = 0, magnitude = 0;
  int terms = 0;
  void add(double a, double b) {
    value += static_cast<long double>(a) * b;
    magnitude += std::abs(static_cast<long double>(a) * b);
    ++terms;
  }
  template <class S>
  double bound() const {
    return static_cast<double>(terms * static_cast<long double>(std::numeric_limits<S>::epsilon()) *
                               magnitude);
  }
};

template <class S>
struct GemmShape {
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  S beta;
};

/// The kernel on all of C, in two ranges of columns, with rows of C further apart than they are
/// long.
template <class S>
std::vector<S> run_gemm(const GemmShape<S>& s) {
  constexpr int kPanel = kPanelColumns<Lanes<S>>;
  Guarded<S> a(s.m * s.k), b(s.k * s.n), scratch(kGemmScratch<Lanes<S>>);
  const int64_t c_row = s.n + 3;
  Guarded<S> c(s.m * c_row);
  fill(a, 1);
  fill(b, 2);
  fill(c, 3);
  const std::vector<S> before(c.data(), c.data() + c.size());
  Gemm<S> g;
  g.m = s.m;
  g.n = s.n;
  g.k = s.k;
  g.a = a.data();
  g.a_row = s.a_transposed ? 1 : s.k;
  g.a_col = s.a_transposed ? s.m : 1;
  g.b = b.data();
  g.b_row = s.b_transposed ? 1 : s.n;
  g.b_col = s.b_transposed ? s.k : 1;
  g.beta = s.beta;
  g.c = c.data();
  g.c_row = c_row;
  const int64_t middle = std::min<int64_t>(kPanel, s.n);
  gemm<Lanes<S>>(g, 0, s.m, 0, middle, scratch.data());
  if (middle < s.n) gemm<Lanes<S>>(g, 0, s.m, middle, s.n, scratch.data());
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < c_row; ++j) {
      const S actual = c[i * c_row + j], old = before[static_cast<size_t>(i * c_row + j)];
      if (j >= s.n) {
        CHECK_EQUAL(actual, old);
        continue;
      }
      Sum sum;
      sum.add(static_cast<double>(s.beta), static_cast<double>(old));
      for (int64_t k = 0; k < s.k; ++k) {
        sum.add(static_cast<double>(a[i * g.a_row + k * g.a_col]),
                static_cast<double>(b[k * g.b_row + j * g.b_col]));
      }
      CHECK_NEAR(actual, sum.value, sum.bound<S>());
    }
  }
  return std::vector<S>(c.data(), c.data() + c.size());
}

template <class S>
void check_gemm() {
  constexpr int kPanel = kPanelColumns<Lanes<S>>;
  for (const int64_t n : {1, 2, kPanel - 1, kPanel, kPanel + 1, 2 * kPanel + 1}) {
    for (const int64_t m : {1, 5, 6, 7, 13, kPackedRows<Lanes<S>> + 1}) {
      // The last one is summed in three parts.
      for (const int64_t k : {0, 1, 2, 37, 2 * kPanelDepth<Lanes<S>> + 1}) {
        for (int kind = 0; kind < 4; ++kind) {
          for (const S beta : {S(0), S(1), S(-0.5)}) {
            run_gemm<S>({m, n, k, kind % 2 == 1, kind / 2 == 1, beta});
          }
        }
      }
    }
  }
}

TEST(dense_product_in_float) { check_gemm<float>(); }
TEST(dense_product_in_double) { check_gemm<double>(); }

/// With beta 0 the old contents do not matter, not even where they are no numbers.
TEST(dense_product_overwrites_nan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Guarded<double> a(4, 1), b(4, 1), c(4, nan), scratch(kGemmScratch<Lanes<double>>);
  Gemm<double> g;
  g.m = g.n = g.k = g.a_row = g.b_row = g.c_row = 2;
  g.a = a.data();
  g.b = b.data();
  g.c = c.data();
  gemm<Lanes<double>>(g, 0, 2, 0, 2, scratch.data());
  for (int i = 0; i < 4; ++i) CHECK_EQUAL(c[i], 2.0);
}

/// Row i of a product has the same bits in every product that holds it, and so has column j: over
/// several parts of k, with A by rows and by columns.
template <class S>
void check_gemm_bits(bool a_transposed) {
  constexpr int kRows = 13, kColumns = 2 * kPanelColumns<Lanes<S>> + 1,
                kDepth = 2 * kPanelDepth<Lanes<S>> + 3;
  Guarded<S> a(kRows * kDepth), b(kDepth * kColumns), scratch(kGemmScratch<Lanes<S>>);
  fill(a, 1);
  fill(b, 2);
  const auto product = [&](int64_t row, int64_t m, int64_t n) {
    std::vector<S> c(static_cast<size_t>(m * n));
    const int64_t a_row = a_transposed ? 1 : kDepth, a_col = a_transposed ? kRows : 1;
    // All rows are there; those from `row` on are asked for.
    Gemm<S> g{kRows,    n, kDepth, a.data(),           a_row, a_col, b.data(),
              kColumns, 1, S(0),   c.data() - row * n, n};
    gemm<Lanes<S>>(g, row, row + m, 0, n, scratch.data());
    return c;
  };
  const std::vector<S> whole = product(0, kRows, kColumns);
  for (const int64_t m : {1, 4, 6, 8}) {
    for (const int64_t n : {1, 3, kColumns - 2}) {
      for (int64_t row = 0; row + m <= kRows; row += m) {
        const std::vector<S> part = product(row, m, n);
        for (int64_t i = 0; i < m * n; ++i) {
          const int64_t at = (row + i / n) * kColumns + i % n;
          CHECK_EQUAL(part[static_cast<size_t>(i)], whole[static_cast<size_t>(at)]);
        }
      }
    }
  }
}

TEST(rows_do_not_depend_on_the_size_of_the_product) {
  for (const bool a_transposed : {false, true}) {
    check_gemm_bits<float>(a_transposed);
    check_gemm_bits<double>(a_transposed);
  }
}

/// [block of outputs][k][block], as PackedWeights lays them out; what pads the last block is noise
/// here, which must not matter.
template <class S>
std::vector<S> pack(const std::vector<S>& w, int rows, int k, int block) {
  const int blocks = (rows + block - 1) / block;
  std::vector<S> packed(static_cast<size_t>(blocks * block * k + kPackedOverrun), S(1e6));
  for (int o = 0; o < rows; ++o) {
    for (int i = 0; i < k; ++i) {
      packed[static_cast<size_t>(((o / block) * k + i) * block + o % block)] =
          w[static_cast<size_t>(o * k + i)];
    }
  }
  return packed;
}

template <class S>
struct TileShape {
  int rows, block;
  int filled;  ///< batch rows in the tile
  std::vector<int> operands;
  bool bias, accumulate;
};

/// linear_tile on one tile of kVectors vectors; returns all of `out`.
template <class S, int kVectors>
std::vector<S> run_tile(const TileShape<S>& s) {
  constexpr int kStride = kTileRows<Lanes<S>, kVectors>, kWidth = Lanes<S>::kWidth;
  int depth = 0;
  for (const int size : s.operands) depth += size;
  std::vector<S> w, bias;
  for (int i = 0; i < s.rows * depth; ++i) w.push_back(static_cast<S>(uniform(4, i)));
  for (int i = 0; i < s.rows; ++i) bias.push_back(static_cast<S>(uniform(5, i)));
  const std::vector<S> packed = pack(w, s.rows, depth, s.block);
  Guarded<S> x(depth * kStride), out(s.rows * kStride);
  fill(x, 6);
  fill(out, 7);
  const std::vector<S> before(out.data(), out.data() + out.size());
  std::vector<Operand<S>> operands;
  int begin = 0;
  for (const int size : s.operands) {
    operands.push_back({x.data() + begin * kStride, size});
    begin += size;
  }
  const PackedMatrix<S> matrix{packed.data(), s.bias ? bias.data() : nullptr, s.rows, s.block};
  linear_tile<Lanes<S>>(matrix, operands.data(), static_cast<int>(operands.size()), out.data(),
                        s.accumulate, {s.filled, kStride});
  // Few rows are computed one by one, more of them a vector at a time.
  const bool few = s.filled <= few_rows<Lanes<S>>();
  const int computed = few ? s.filled : s.filled > kWidth ? kStride : kWidth;
  for (int o = 0; o < s.rows; ++o) {
    for (int row = 0; row < kStride; ++row) {
      const S old = before[static_cast<size_t>(o * kStride + row)];
      if (row >= computed) {
        CHECK_EQUAL(out[o * kStride + row], old);
        continue;
      }
      Sum sum;
      // Accumulating takes the place of the bias.
      if (s.accumulate) sum.add(1, static_cast<double>(old));
      if (!s.accumulate && s.bias) sum.add(1, static_cast<double>(bias[static_cast<size_t>(o)]));
      for (int k = 0; k < depth; ++k) {
        sum.add(static_cast<double>(w[static_cast<size_t>(o * depth + k)]),
                static_cast<double>(x[k * kStride + row]));
      }
      CHECK_NEAR(out[o * kStride + row], sum.value, sum.bound<S>());
    }
  }
  return std::vector<S>(out.data(), out.data() + out.size());
}

template <class S, int kVectors>
void check_linear_tile() {
  for (int rows = 1; rows <= 2 * kMaxBlock + 1; ++rows) {
    for (const std::vector<int>& operands :
         std::vector<std::vector<int>>{{1}, {5}, {3, 1}, {2, 7, 4}}) {
      for (int kind = 0; kind < 4; ++kind) {
        std::vector<S> first;
        for (const int block : kBlockSizes) {
          const bool bias = kind % 2 == 1, accumulate = kind / 2 == 1;
          constexpr int kStride = kTileRows<Lanes<S>, kVectors>;
          const std::vector<S> out =
              run_tile<S, kVectors>({rows, block, kStride, operands, bias, accumulate});
          // Blocks and the number of rows are choices of speed: they must not show in the bits.
          if (first.empty()) first = out;
          CHECK(out == first);
          for (const int filled : {1, 2, kFewRows, Lanes<S>::kWidth}) {
            if (filled > kStride) continue;
            const std::vector<S> part =
                run_tile<S, kVectors>({rows, block, filled, operands, bias, accumulate});
            for (int i = 0; i < rows * kStride; ++i) {
              const auto at = static_cast<size_t>(i);
              if (i % kStride < filled) CHECK_EQUAL(part[at], out[at]);
            }
          }
        }
      }
    }
  }
}

TEST(linear_tile_in_float) { check_linear_tile<float, kGroups>(); }
TEST(linear_tile_in_double) { check_linear_tile<double, kGroups>(); }
TEST(linear_tile_of_one_vector) {
  check_linear_tile<float, 1>();
  check_linear_tile<double, 1>();
}

/// Units of the two sources of a Linear, and whether it has a bias.
struct Units {
  int first = 7, second = 5;
  bool bias = true;
  int depth() const { return first + second; }
  int all() const { return depth() + (bias ? 1 : 0); }
};

/// One Linear over two sources, the second a step back, applied to two groups of units: its storage
/// laid out by hand, tile by tile.
template <class S, int kVectors = kGroups>
class GradientFixture {
 public:
  static constexpr int kStride = kTileRows<Lanes<S>, kVectors>;
  static constexpr int kRepeat = 2, kRows = 2 * kPanelColumns<Lanes<S>> + 1;

  GradientFixture(int64_t batch, int steps, const Units& units = Units())
      : batch_(batch),
        steps_(steps),
        tiles_(static_cast<int>((batch + kStride - 1) / kStride)),
        units_(units),
        slots_{{0, kRepeat * units.first, steps, 0, false},
               {0, kRepeat * units.second, steps + 1, 1, false},
               {0, kRepeat * kRows, steps, 0, false}},
        storage_(0) {
    for (SlotPlace& slot : slots_) {
      slot.offset = tile_stride_;
      tile_stride_ += int64_t{slot.size} * slot.depth * kStride;
    }
    storage_.assign(static_cast<size_t>(tile_stride_ * tiles_ + 64), S(0));
    for (int64_t b = 0; b < batch; ++b) {
      for (int slot = 0; slot < 3; ++slot) {
        for (int i = 0; i < slots_[slot].size * slots_[slot].depth; ++i) {
          at(b, slots_[slot].offset, i) =
              static_cast<S>(uniform(static_cast<uint32_t>(20 + slot), b * 9973 + i));
        }
      }
    }
    linear_.rows = kRows;
    linear_.d_out = 2;
    linear_.repeat = kRepeat;
    linear_.sources = 2;
    linear_.source[0] = {0, 0, units.first, -1, false};
    linear_.source[1] = {1, -1, units.second, -1, false};
    args_.batch = batch;
    args_.steps = steps;
    args_.tiles = tiles_;
    args_.tile_rows = kStride;
    args_.tile_stride = tile_stride_;
    args_.storage = base();
    args_.slots = slots_;
    args_.slot_count = 3;
    args_.linears = &linear_;
  }

  /// Numbers of dW with the bias's gradient.
  int64_t size() const { return int64_t{units_.all()} * kRows; }

  /// Those of outputs [begin, end).
  void run(int begin, int end, Guarded<S>& dW) {
    Guarded<S> scratch(gradient_scratch<Lanes<S>>(units_.all()));
    WeightGradient<S> g;
    g.row_begin = begin;
    g.row_end = end;
    g.bias = units_.bias;
    g.dW = dW.data();
    g.scratch = scratch.data();
    weight_gradient<Lanes<S>>(args_, g);
  }

  void cancel(const std::atomic<bool>& flag) { args_.cancel = &flag; }

  void check(Guarded<S>& dW) {
    for (int o = 0; o < kRows; ++o) {
      for (int k = 0; k < units_.all(); ++k) {
        Sum sum;
        for (int64_t b = 0; b < batch_; ++b) {
          for (int t = 0; t < steps_; ++t) {
            for (int repeat = 0; repeat < kRepeat; ++repeat) {
              const double d = number(b, 2, t, repeat * kRows + o);
              const double x = k == units_.depth() ? 1
                               : k < units_.first
                                   ? number(b, 0, t, repeat * units_.first + k)
                                   : number(b, 1, t, repeat * units_.second + k - units_.first);
              sum.add(d, x);
            }
          }
        }
        CHECK_NEAR(dW[k * kRows + o], sum.value, sum.template bound<S>());
      }
    }
  }

 private:
  S* base() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return storage_.data() + (64 - address % 64) % 64 / sizeof(S);
  }
  S& at(int64_t b, int64_t offset, int64_t i) {
    return base()[b / kStride * tile_stride_ + offset + i * kStride + b % kStride];
  }
  /// Column t of a slot: the second one begins a step before the first.
  double number(int64_t b, int slot, int t, int unit) {
    return static_cast<double>(at(b, slots_[slot].offset, int64_t{t} * slots_[slot].size + unit));
  }

  int64_t batch_;
  int steps_, tiles_;
  Units units_;
  SlotPlace slots_[3];
  int64_t tile_stride_ = 0;
  std::vector<S> storage_;
  PackedLinear<S> linear_;
  SequenceArgs<S> args_;
};

template <class S, int kVectors>
void check_weight_gradient() {
  using Fixture = GradientFixture<S, kVectors>;
  for (const int64_t batch :
       {int64_t{1}, int64_t{Fixture::kStride} - 1, int64_t{Fixture::kStride} + 1}) {
    // Within one run of steps and beyond it, at every width.
    for (const int steps : {1, 2, 67, 2 * kPanelDepth<Lanes<S>> / Fixture::kStride + 3}) {
      Fixture fixture(batch, steps);
      Guarded<S> dW(fixture.size(), S(99));
      fixture.run(0, Fixture::kRows, dW);
      fixture.check(dW);
      // In two ranges of outputs, as two workers share it: the same bits, and nothing else is
      // touched.
      Guarded<S> parts(dW.size(), S(99));
      fixture.run(4, Fixture::kRows, parts);
      for (int64_t i = 0; i < dW.size(); ++i)
        if (i % Fixture::kRows < 4) CHECK_EQUAL(parts[i], S(99));
      fixture.run(0, 4, parts);
      for (int64_t i = 0; i < dW.size(); ++i) CHECK_EQUAL(parts[i], dW[i]);
    }
  }
}

/// It looks at the flag before every part of its work: none is done here.
TEST(weight_gradient_of_a_cancelled_job_ends_before_its_next_part) {
  using Fixture = GradientFixture<float>;
  Fixture fixture(3, 67);
  const std::atomic<bool> cancelled{true};
  fixture.cancel(cancelled);
  Guarded<float> dW(fixture.size(), 99.0f);
  fixture.run(0, Fixture::kRows, dW);
  for (int64_t i = 0; i < dW.size(); ++i) CHECK_EQUAL(dW[i], 0.0f);
}

/// As many units as one and two chunks hold, one more and one less, so that chunks cut a source in
/// two; with and without a bias. The scratch is exactly what is asked for.
template <class S>
void check_chunks() {
  constexpr int kMost = kGradientUnits<Lanes<S>>;
  for (const int units : {kMost - 1, kMost, kMost + 1, 2 * kMost, 2 * kMost + 1}) {
    for (const bool bias : {false, true}) {
      GradientFixture<S> fixture(3, 2, {units - kMost / 2, kMost / 2, bias});
      Guarded<S> dW(fixture.size(), S(99));
      fixture.run(0, GradientFixture<S>::kRows, dW);
      fixture.check(dW);
    }
  }
}

TEST(weight_gradient_in_chunks) {
  check_chunks<float>();
  check_chunks<double>();
}

TEST(weight_gradient_in_float) { check_weight_gradient<float, kGroups>(); }
TEST(weight_gradient_in_double) { check_weight_gradient<double, kGroups>(); }
TEST(weight_gradient_of_tiles_of_one_vector) {
  check_weight_gradient<float, 1>();
  check_weight_gradient<double, 1>();
}

}  // namespace
}  // namespace lookback
