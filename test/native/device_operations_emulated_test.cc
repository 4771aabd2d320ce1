/// Every operation of a CUDA backend, its kernels on the host, against the CPU's, in both
/// element types and at odd sizes.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/rng.h"
#include "native/check.h"

namespace lookback {
namespace {

template <class S>
using Numbers = std::vector<S>;

template <class S>
Numbers<S> noise(int64_t count, uint32_t stream, double scale = 1) {
  Numbers<S> numbers;
  for (int64_t i = 0; i < count; ++i) {
    const double u = uniform_at(7, RandomUse::kCaller, stream, static_cast<uint64_t>(i));
    numbers.push_back(static_cast<S>(scale * (2 * u - 1)));
  }
  return numbers;
}

template <class T>
Buffer<T> placed(MemorySpace& memory, const std::vector<T>& numbers) {
  Buffer<T> buffer(static_cast<int64_t>(numbers.size()), "an array of a test", memory);
  memory.copy_in(numbers.data(), buffer.size(), buffer.data());
  return buffer;
}

template <class S>
using Arrays = std::vector<Numbers<S>>;
/// Gets the arrays as they lie in the backend's memory; its result is compared too.
template <class S>
using Work = std::function<Numbers<double>(Backend<S>&, const std::vector<S*>&)>;

template <class S>
Arrays<S> run(Backend<S>& backend, const Arrays<S>& arrays, const Work<S>& work,
              Numbers<double>& result) {
  std::vector<Buffer<S>> there;
  std::vector<S*> pointers;
  for (const Numbers<S>& numbers : arrays) {
    there.push_back(placed(backend.memory(), numbers));
    pointers.push_back(there.back().data());
  }
  result = work(backend, pointers);
  Arrays<S> after = arrays;
  for (size_t i = 0; i < after.size(); ++i)
    backend.memory().copy_out(there[i].data(), there[i].size(), after[i].data());
  return after;
}

/// `terms`: how many roundings one number goes through; 0: to the bit.
template <class S>
void same(const char* what, const Arrays<S>& arrays, double terms, const Work<S>& work) {
  const auto cpu = make_backend<S>(DeviceKind::kCpu, 1);
  const auto device = make_backend<S>(DeviceKind::kEmulated, 1);
  Numbers<double> expected, actual;
  const Arrays<S> left = run<S>(*device, arrays, work, actual);
  const Arrays<S> right = run<S>(*cpu, arrays, work, expected);
  const double eps = static_cast<double>(std::numeric_limits<S>::epsilon());
  const auto near = [&](double a, double b) {
    return a == b || (std::isnan(a) && std::isnan(b)) ||
           std::abs(a - b) <= terms * eps * std::max(1.0, std::abs(b));
  };
  const auto report = [&](size_t array, size_t i, double a, double b) {
    check::fail(what, 0, text("array ", array, " entry ", i, " is ", a, "; expected ", b));
  };
  for (size_t k = 0; k < left.size(); ++k) {
    for (size_t i = 0; i < left[k].size(); ++i) {
      const auto a = static_cast<double>(left[k][i]), b = static_cast<double>(right[k][i]);
      if (!near(a, b)) return report(k, i, a, b);
    }
  }
  CHECK_EQUAL(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    if (!near(actual[i], expected[i])) return report(left.size(), i, actual[i], expected[i]);
}

/// Runs a generic test for both element types.
#define FOR_BOTH(body) \
  do {                 \
    body(float{});     \
    body(double{});    \
  } while (0)

TEST(products) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    // Around the tiles' edges, along k around a slice's; the last needs several slices.
    for (const int64_t m : {1, 5, 13}) {
      for (const int64_t n : {1, 7, 20}) {
        for (const int64_t k : {1, 17, 513, 1300}) {
          if (k > 20 && m * n > 40) continue;
          for (const int transposed : {0, 1, 2, 3}) {
            const double beta = transposed % 3 == 0 ? 0 : 1;
            const Arrays<S> arrays = {noise<S>(m * k, 1), noise<S>(k * n, 2), noise<S>(m * n, 3)};
            same<S>("product", arrays, 2.0 * static_cast<double>(k),
                    [=](Backend<S>& backend, const std::vector<S*>& at) {
                      Gemm<S> g;
                      g.m = m, g.n = n, g.k = k;
                      g.a = at[0], g.b = at[1], g.c = at[2];
                      g.a_row = transposed & 1 ? 1 : k, g.a_col = transposed & 1 ? m : 1;
                      g.b_row = transposed & 2 ? 1 : n, g.b_col = transposed & 2 ? k : 1;
                      g.c_row = n, g.beta = static_cast<S>(beta);
                      backend.gemm(g);
                      return Numbers<double>();
                    });
          }
        }
      }
    }
  };
  FOR_BOTH(body);
}

TEST(a_product_has_the_same_bits_however_its_slices_are_shared_out) {
  // 13 rows have so few tiles that slices go to blocks; many rows have a block sum them itself.
  constexpr int64_t kFew = 13, kMany = 64 * 256, kK = 1100;
  const auto device = make_backend<float>(DeviceKind::kEmulated, 1);
  Numbers<float> a = noise<float>(kMany * kK, 1);
  const Buffer<float> left = placed(device->memory(), a);
  const Buffer<float> right = placed(device->memory(), noise<float>(kK, 2));
  const auto product = [&](int64_t rows) {
    Buffer<float> c(rows, "a product", device->memory());
    Gemm<float> g;
    g.m = rows, g.n = 1, g.k = kK;
    g.a = left.data(), g.a_row = kK;
    g.b = right.data(), g.b_row = 1;
    g.c = c.data(), g.c_row = 1;
    device->gemm(g);
    Numbers<float> numbers(static_cast<size_t>(rows));
    device->memory().copy_out(c.data(), rows, numbers.data());
    numbers.resize(kFew);
    return numbers;
  };
  CHECK(product(kFew) == product(kMany));
}

TEST(bias_sums_and_activations) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    for (const int64_t rows : {1, 70}) {
      for (const int64_t cols : {6, 33, 65}) {
        const Arrays<S> arrays = {noise<S>(rows * cols, 1), noise<S>(cols, 2),
                                  noise<S>(rows * cols, 3)};
        same<S>("bias", arrays, 0, [=](Backend<S>& backend, const std::vector<S*>& at) {
          backend.add_bias(rows, cols, at[1], at[0]);
          return Numbers<double>();
        });
        same<S>("sum of rows", arrays, static_cast<double>(rows),
                [=](Backend<S>& backend, const std::vector<S*>& at) {
                  backend.sum_rows(rows, cols, at[0], at[1]);
                  return Numbers<double>();
                });
        for (const Activation kind :
             {Activation::kLinear, Activation::kRelu, Activation::kElu, Activation::kTanh,
              Activation::kSigmoid, Activation::kSoftmax}) {
          // Approximations of the lanes differ from the library's by some units in the last place.
          same<S>("activation", arrays, 16, [=](Backend<S>& backend, const std::vector<S*>& at) {
            backend.activate(kind, rows, cols, at[0]);
            backend.activate_backward(kind, rows, cols, at[0], at[2]);
            return Numbers<double>();
          });
        }
      }
    }
  };
  FOR_BOTH(body);
}

TEST(dropout_has_the_bits_of_the_cpu) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    for (const int64_t cols : {1, 4, 7, 130}) {
      same<S>("dropout", {noise<S>(5 * cols, 1), noise<S>(5 * cols, 2)}, 0,
              [=](Backend<S>& backend, const std::vector<S*>& at) {
                backend.dropout({9, 4, 2}, 0.3, 5, cols, at[0], at[1]);
                backend.dropout({9, 4, 2}, 0.3, 5, cols, at[0], at[0]);
                return Numbers<double>();
              });
    }
  };
  FOR_BOTH(body);
}

TEST(losses) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    constexpr int64_t kTerms = 203, kOutputs = 6;
    Numbers<S> weights = noise<S>(kTerms, 3);
    for (S& weight : weights) weight = weight < 0 ? S(0) : weight;
    Numbers<S> targets = noise<S>(kTerms * kOutputs, 4);
    targets[11] = std::numeric_limits<S>::quiet_NaN();
    const Numbers<double> quantiles = {0.1, 0.5, 0.9};
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < kTerms; ++i) labels.push_back(static_cast<int32_t>(i % kOutputs));
    const Arrays<S> arrays = {noise<S>(kTerms * kOutputs, 1, 3), Numbers<S>(kTerms * kOutputs),
                              weights, targets};
    for (const LossKind kind : {LossKind::kSoftmaxCrossEntropy, LossKind::kSquaredError,
                                LossKind::kAbsoluteError, LossKind::kHuber, LossKind::kQuantile,
                                LossKind::kGaussian, LossKind::kBinaryCrossEntropy}) {
      for (const bool weighted : {false, true}) {
        same<S>("loss", arrays, 2.0 * kTerms, [&](Backend<S>& backend, const std::vector<S*>& at) {
          const Buffer<int32_t> there = placed(backend.memory(), labels);
          LossCall<S> call;
          call.kind = kind;
          call.terms = kTerms;
          call.outputs = kOutputs;
          call.y = at[0];
          call.labels = there.data();
          call.target_size = kind == LossKind::kQuantile   ? kOutputs / 3
                             : kind == LossKind::kGaussian ? kOutputs / 2
                                                           : kOutputs;
          call.targets = at[3] + (kind == LossKind::kSquaredError ? 0 : 12);
          if (kind != LossKind::kSquaredError) call.terms = kTerms - 2;
          call.weights = weighted ? at[2] : nullptr;
          call.scale = 0.25;
          call.d = at[1];
          call.delta = 0.7;
          call.min_variance = 0.01;
          call.quantiles = quantiles.data();
          const LossSum sum = backend.loss(call);
          return Numbers<double>{sum.loss, sum.hits, sum.absolute};
        });
      }
    }
  };
  FOR_BOTH(body);
}

TEST(layer_norm) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    for (const bool plain : {false, true}) {
      constexpr int64_t kRows = 7, kCols = 13;
      const Arrays<S> arrays = {noise<S>(kRows * kCols, 1), noise<S>(kCols, 2),
                                noise<S>(kCols, 3),         noise<S>(kRows * kCols, 4),
                                noise<S>(kRows * kCols, 5), noise<S>(kRows * kCols, 6)};
      same<S>("layer norm", arrays, 16, [=](Backend<S>& backend, const std::vector<S*>& at) {
        LayerNorm<S> norm;
        norm.rows = kRows;
        norm.cols = kCols;
        norm.gain = plain ? nullptr : at[1];
        norm.bias = plain ? nullptr : at[2];
        norm.x = at[0];
        backend.layer_norm(norm, at[3]);
        backend.layer_norm_backward(norm, at[4], plain ? nullptr : at[5]);
        return Numbers<double>();
      });
    }
  };
  FOR_BOTH(body);
}

TEST(tables) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    constexpr int64_t kBatch = 9, kSteps = 5, kRows = 6, kCols = 11, kCount = kBatch * kSteps;
    Numbers<S> numbers;
    for (int64_t i = 0; i < kCount; ++i) numbers.push_back(static_cast<S>(i * i % kRows));
    std::vector<int32_t> lengths;
    for (int64_t i = 0; i < kBatch; ++i) lengths.push_back(static_cast<int32_t>(i % (kSteps + 1)));
    numbers[0] = S(-1);  // behind the first row's length, which is 0
    const Arrays<S> arrays = {numbers, noise<S>(kRows * kCols, 1), Numbers<S>(kCount * kCols)};
    same<S>("table", arrays, 0, [&](Backend<S>& backend, const std::vector<S*>& at) {
      Buffer<int32_t> index(kCount, "indices", backend.memory());
      const IndexRead<S> read{kCount, kSteps, lengths.data(), kRows, at[0]};
      Numbers<double> seen = {static_cast<double>(backend.read_indices(read, index.data()))};
      backend.gather_rows(kCount, kCols, index.data(), at[1], at[2]);
      backend.scatter_rows(kCount, kCols, index.data(), at[2], kRows, at[1]);
      // Without lengths the first entry is seen; and one that is no whole number, one too large.
      seen.push_back(static_cast<double>(
          backend.read_indices({kCount, kSteps, nullptr, kRows, at[0]}, index.data())));
      seen.push_back(static_cast<double>(
          backend.read_indices({kCount - 1, 1, nullptr, 4, at[0] + 1}, index.data())));
      return seen;
    });
  };
  FOR_BOTH(body);
}

TEST(pooling_and_turning) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    constexpr int64_t kBatch = 4, kSteps = 5, kFeatures = 3, kSize = kBatch * kSteps * kFeatures;
    const std::vector<int32_t> lengths = {5, 0, 2, 1};
    const Arrays<S> arrays = {noise<S>(kSize, 1), noise<S>(kBatch * kFeatures, 2),
                              noise<S>(kBatch * kFeatures, 3), noise<S>(kSize, 4)};
    for (const int32_t* given : {static_cast<const int32_t*>(nullptr), lengths.data()}) {
      for (const PoolKind kind : {PoolKind::kLast, PoolKind::kMean, PoolKind::kMax}) {
        same<S>("pool", arrays, 4, [&](Backend<S>& backend, const std::vector<S*>& at) {
          const Pool<S> pool{kind, kBatch, kSteps, kFeatures, given, at[0]};
          backend.pool(pool, at[1]);
          backend.pool_backward(pool, at[2], at[3]);
          return Numbers<double>();
        });
      }
      same<S>("turn", arrays, 0, [&](Backend<S>& backend, const std::vector<S*>& at) {
        backend.reverse_steps(kBatch, kSteps, kFeatures, given, at[0], at[3]);
        return Numbers<double>();
      });
    }
  };
  FOR_BOTH(body);
}

TEST(copies_fills_and_sums) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    for (const int64_t n : {1, 3, 4099}) {
      same<S>("whole arrays", {noise<S>(n, 1), noise<S>(n, 2), noise<S>(n, 3)}, 8,
              [=](Backend<S>& backend, const std::vector<S*>& at) {
                backend.add(n, at[0], at[1]);
                backend.fill(n, S(2.5), at[2]);
                return Numbers<double>{backend.sum_squares(n, at[1])};
              });
    }
    same<S>("columns", {noise<S>(5 * 7, 1), noise<S>(5 * 4, 2)}, 0,
            [](Backend<S>& backend, const std::vector<S*>& at) {
              backend.copy_columns(5, 3, at[0] + 2, 7, at[1] + 1, 4);
              return Numbers<double>();
            });
    const std::vector<uint32_t> rows = {4, 0, 0, 2};
    for (const uint32_t* given : {rows.data(), static_cast<const uint32_t*>(nullptr)}) {
      same<S>("rows", {noise<S>(5 * 3, 1), noise<S>(4 * 3, 2), noise<S>(5, 3), noise<S>(4, 4)}, 0,
              [=](Backend<S>& backend, const std::vector<S*>& at) {
                backend.copy_rows(given, 1, 4,
                                  {{at[0], at[1], 3 * sizeof(S)}, {at[2], at[3], sizeof(S)}});
                return Numbers<double>();
              });
    }
  };
  FOR_BOTH(body);
}

TEST(weights_of_terms) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    constexpr int64_t kBatch = 31, kSteps = 4, kTargets = 3, kTerms = kBatch * kSteps;
    std::vector<int32_t> lengths;
    for (int64_t i = 0; i < kBatch; ++i) lengths.push_back(static_cast<int32_t>(i % (kSteps + 1)));
    Numbers<S> targets = noise<S>(kTerms * kTargets, 2);
    for (size_t i = 0; i < targets.size(); i += 7) targets[i] = std::numeric_limits<S>::quiet_NaN();
    Numbers<S> weights = noise<S>(kTerms, 1);
    for (S& weight : weights) weight = weight < 0 ? S(0) : weight;
    for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
      same<S>("weights", {weights, targets, Numbers<S>(kTerms)}, kTerms,
              [&](Backend<S>& backend, const std::vector<S*>& at) {
                TermWeights<S> terms;
                terms.terms = kTerms;
                terms.steps = kSteps;
                terms.lengths = variant & 1 ? lengths.data() : nullptr;
                terms.burn_in = variant % 3;
                terms.weights = variant & 2 ? at[0] : nullptr;
                terms.per_row = (variant & 4) != 0;
                terms.targets = variant & 4 ? nullptr : at[1];
                terms.target_size = kTargets;
                const TermSum sum = backend.weigh_terms(terms, at[2]);
                backend.fill(static_cast<int64_t>(kTerms) * kTargets, S(0), at[1]);  // NaN != NaN
                return Numbers<double>{sum.weight, sum.count};
              });
    }
  };
  FOR_BOTH(body);
}

TEST(updates) {
  const auto body = [](auto zero) {
    using S = decltype(zero);
    constexpr int64_t kSize = 37;
    for (const OptimizerKind kind :
         {OptimizerKind::kSgd, OptimizerKind::kRmsprop, OptimizerKind::kAdam, OptimizerKind::kAdamW,
          OptimizerKind::kAdagrad, OptimizerKind::kAdadelta}) {
      for (const bool variant : {false, true}) {
        Arrays<S> arrays = {noise<S>(kSize, 1), noise<S>(kSize, 2)};
        for (int slot = 0; slot < 3; ++slot) arrays.push_back(Numbers<S>(kSize, S(0.25)));
        // The CPU's loops contract nothing; roots and quotients are exact in both.
        same<S>("update", arrays, 4, [=](Backend<S>& backend, const std::vector<S*>& at) {
          for (int64_t update = 1; update <= 3; ++update) {
            const bool adam = kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW;
            const bool velocity = kind == OptimizerKind::kSgd || kind == OptimizerKind::kRmsprop;
            OptimizerStep<S> step;
            step.kind = kind;
            step.n = kSize;
            step.param = at[0];
            step.grad = at[1];
            step.slot0 = velocity && !variant ? nullptr : at[2];
            step.slot1 = at[3];
            step.slot2 = adam && variant ? at[4] : nullptr;
            step.step = update;
            step.learning_rate = 0.01;
            step.momentum = 0.9;
            step.nesterov = variant;
            step.epsilon_inside = variant;
            step.l2 = 0.1;
            step.weight_decay = 0.02;
            step.clip_value = 0.5;
            backend.update(step);
          }
          return Numbers<double>();
        });
      }
    }
  };
  FOR_BOTH(body);
}

}  // namespace
}  // namespace lookback
