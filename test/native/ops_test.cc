/// Losses, activations, reductions and optimizers of the CPU backend, against formulas written out
/// here.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"
#include "native/check.h"
#include "ops/linalg.h"

namespace lookback {
namespace {

using Numbers = std::vector<double>;

/// Fixed numbers in [-scale, scale).
Numbers noise(int64_t count, uint32_t stream, double scale) {
  Numbers numbers;
  for (int64_t i = 0; i < count; ++i) {
    const double u = uniform_at(42, RandomUse::kCaller, stream, static_cast<uint64_t>(i));
    numbers.push_back(scale * (2 * u - 1));
  }
  return numbers;
}

template <class S>
std::unique_ptr<Backend<S>> cpu(int threads) {
  return make_backend<S>(DeviceKind::kCpu, threads);
}

template <class S>
LossCall<S> label_call(int64_t terms, int64_t outputs, const S* logits,
                       const std::vector<int32_t>& labels) {
  LossCall<S> call;
  call.kind = LossKind::kSoftmaxCrossEntropy;
  call.terms = terms;
  call.outputs = outputs;
  call.y = logits;
  call.labels = labels.data();
  return call;
}

/// Central differences with step 1e-6 err by about 1e-12 (truncation) plus 1e-16/1e-6 (rounding)
/// for values near 1; the bound leaves a factor of 100.
constexpr double kStep = 1e-6;
constexpr double kDifferenceBound = 1e-8;

void check_gradient(const std::function<double(const Numbers&)>& f, const Numbers& at,
                    const Numbers& gradient) {
  for (size_t i = 0; i < at.size(); ++i) {
    Numbers up = at, down = at;
    up[i] += kStep;
    down[i] -= kStep;
    CHECK_NEAR(gradient[i], (f(up) - f(down)) / (2 * kStep), kDifferenceBound);
  }
}

TEST(softmax_cross_entropy_gradient) {
  constexpr int64_t kRows = 5, kClasses = 7;
  const auto backend = cpu<double>(1);
  const Numbers logits = noise(kRows * kClasses, 1, 3);
  const std::vector<int32_t> labels = {0, 6, 3, 3, 1};
  const auto loss = [&](const Numbers& at) {
    return backend->loss(label_call(kRows, kClasses, at.data(), labels)).loss;
  };
  Numbers d(logits.size());
  LossCall<double> call = label_call(kRows, kClasses, logits.data(), labels);
  call.d = d.data();
  const LossSum sum = backend->loss(call);
  CHECK_EQUAL(sum.loss, loss(logits));
  check_gradient(loss, logits, d);
  // In place, and scaled.
  Numbers in_place = logits;
  call.y = call.d = in_place.data();
  call.scale = 0.25;
  backend->loss(call);
  for (size_t i = 0; i < d.size(); ++i) CHECK_NEAR(in_place[i], 0.25 * d[i], 1e-16);
}

TEST(softmax_cross_entropy_survives_large_logits) {
  const auto backend = cpu<float>(1);
  const std::vector<float> logits = {1e30f, 0, -1e30f, 1000, 1000, 999};
  const std::vector<int32_t> labels = {0, 1};
  std::vector<float> d(6);
  LossCall<float> call = label_call(2, 3, logits.data(), labels);
  call.d = d.data();
  const LossSum sum = backend->loss(call);
  // The first row is certain; the second is log(2 + 1/e), and its label ties with entry 0, which
  // counts as the largest.
  CHECK_NEAR(sum.loss, std::log(2 + std::exp(-1.0)), 1e-6);
  CHECK_EQUAL(sum.hits, 1.0);
  for (const float value : d) CHECK(std::isfinite(value));
}

TEST(activations_and_their_gradients) {
  constexpr int64_t kRows = 3, kCols = 5;
  const auto backend = cpu<double>(1);
  const Numbers x = noise(kRows * kCols, 4, 2), upstream = noise(kRows * kCols, 5, 1);
  for (const Activation kind : {Activation::kLinear, Activation::kRelu, Activation::kElu,
                                Activation::kTanh, Activation::kSigmoid, Activation::kSoftmax}) {
    const auto apply = [&](Numbers at) {
      backend->activate(kind, kRows, kCols, at.data());
      return at;
    };
    const Numbers y = apply(x);
    Numbers d = upstream;
    backend->activate_backward(kind, kRows, kCols, y.data(), d.data());
    check_gradient(
        [&](const Numbers& at) {
          const Numbers out = apply(at);
          double sum = 0;
          for (size_t i = 0; i < out.size(); ++i) sum += out[i] * upstream[i];
          return sum;
        },
        x, d);
  }
}

TEST(softmax_rows_sum_to_one) {
  const auto backend = cpu<float>(1);
  std::vector<float> y = {1e30f, -1e30f, 0, -100, -100, -100};
  backend->activate(Activation::kSoftmax, 2, 3, y.data());
  CHECK_NEAR(y[0] + y[1] + y[2], 1, 1e-6);
  CHECK_NEAR(y[3], 1.0 / 3, 1e-6);
}

/// Sizes on both sides of every threshold where work is handed to the team.
TEST(reductions_do_not_depend_on_the_number_of_threads) {
  for (const int64_t size :
       {int64_t{0}, int64_t{1}, int64_t{8191}, int64_t{8193}, int64_t{700001}}) {
    std::vector<float> x;
    for (const double value : noise(size, 6, 1)) x.push_back(static_cast<float>(value));
    double exact = 0;
    for (const float value : x) exact += double{value} * double{value};
    const double one = cpu<float>(1)->sum_squares(size, x.data());
    CHECK_NEAR(one, exact, 1e-12 * (1 + exact));
    for (const int threads : {2, 3}) {
      CHECK_EQUAL(cpu<float>(threads)->sum_squares(size, x.data()), one);
    }
  }
}

TEST(sum_rows_adds_and_does_not_depend_on_the_number_of_threads) {
  for (const int64_t rows : {int64_t{1}, int64_t{127}, int64_t{129}, int64_t{3000}}) {
    for (const int64_t cols : {int64_t{1}, int64_t{31}, int64_t{33}, int64_t{100}}) {
      const Numbers x = noise(rows * cols, 7, 1);
      Numbers exact(static_cast<size_t>(cols), 0.5);
      for (int64_t i = 0; i < rows * cols; ++i) {
        exact[static_cast<size_t>(i % cols)] += x[static_cast<size_t>(i)];
      }
      Numbers one(static_cast<size_t>(cols), 0.5);
      cpu<double>(1)->sum_rows(rows, cols, x.data(), one.data());
      for (size_t c = 0; c < one.size(); ++c) CHECK_NEAR(one[c], exact[c], 1e-12 * double(rows));
      Numbers three(static_cast<size_t>(cols), 0.5);
      cpu<double>(3)->sum_rows(rows, cols, x.data(), three.data());
      CHECK(one == three);
    }
  }
}

TEST(losses_and_dropout_do_not_depend_on_the_number_of_threads) {
  constexpr int64_t kRows = 4000, kCols = 9;
  const Numbers x = noise(kRows * kCols, 8, 2);
  std::vector<int32_t> labels;
  for (int64_t r = 0; r < kRows; ++r) labels.push_back(static_cast<int32_t>(r % kCols));
  std::vector<Numbers> gradients, masked;
  Numbers losses;
  for (const int threads : {1, 2, 3}) {
    const auto backend = cpu<double>(threads);
    Numbers d(x.size()), y(x.size());
    LossCall<double> call = label_call(kRows, kCols, x.data(), labels);
    call.d = d.data();
    losses.push_back(backend->loss(call).loss);
    call.kind = LossKind::kSquaredError;
    call.targets = d.data();
    call.target_size = kCols;
    call.d = nullptr;
    losses.push_back(backend->loss(call).loss);
    backend->dropout({1, 2, 3}, 0.3, kRows, kCols, x.data(), y.data());
    gradients.push_back(d);
    masked.push_back(y);
  }
  for (size_t i = 1; i < 3; ++i) {
    CHECK_EQUAL(losses[2 * i], losses[0]);
    CHECK_EQUAL(losses[2 * i + 1], losses[1]);
    CHECK(gradients[i] == gradients[0]);
    CHECK(masked[i] == masked[0]);
  }
}

/// One parameter of torch.optim, as its documentation writes the algorithm.
struct Reference {
  OptimizerStep<double> o;
  double m = 0, v = 0, top = 0;
  bool first = true;
  bool amsgrad = false;

  double update(double p, double g, int t) {
    g = std::clamp(g * o.grad_scale, -o.clip_value, o.clip_value);
    if (o.kind == OptimizerKind::kAdamW) p = p - o.learning_rate * o.weight_decay * p;
    g = g + o.l2 * p;
    switch (o.kind) {
      case OptimizerKind::kSgd:
        if (o.momentum != 0) {
          m = first ? g : o.momentum * m + g;
          first = false;
          g = o.nesterov ? g + o.momentum * m : m;
        }
        return p - o.learning_rate * g;
      case OptimizerKind::kRmsprop:
        return rmsprop(p, g);
      case OptimizerKind::kAdam:
      case OptimizerKind::kAdamW: {
        m = o.beta1 * m + (1 - o.beta1) * g;
        v = o.beta2 * v + (1 - o.beta2) * g * g;
        const double m_hat = m / (1 - std::pow(o.beta1, t));
        top = std::max(top, v);
        const double v_hat = (amsgrad ? top : v) / (1 - std::pow(o.beta2, t));
        return p - o.learning_rate * m_hat / (std::sqrt(v_hat) + o.epsilon);
      }
      case OptimizerKind::kAdagrad:
        m = m + g * g;
        return p - o.learning_rate * g / (std::sqrt(m) + o.epsilon);
      case OptimizerKind::kAdadelta: {
        m = o.rho * m + (1 - o.rho) * g * g;
        const double delta = std::sqrt(v + o.epsilon) / std::sqrt(m + o.epsilon) * g;
        v = o.rho * v + (1 - o.rho) * delta * delta;
        return p - o.learning_rate * delta;
      }
    }
    return p;
  }

  double rmsprop(double p, double g) {
    v = o.rho * v + (1 - o.rho) * g * g;
    const double root = o.epsilon_inside ? std::sqrt(v + o.epsilon) : std::sqrt(v) + o.epsilon;
    if (o.momentum == 0) return p - o.learning_rate * g / root;
    m = o.momentum * m + g / root;
    return p - o.learning_rate * m;
  }
};

/// `m` and `v`: where the first and the second slot start.
void check_optimizer(OptimizerStep<double> options, double m_start = 0, double v_start = 0,
                     bool amsgrad = false) {
  constexpr int64_t kSize = 9001;  // more than one piece of work
  constexpr int kUpdates = 200;
  const auto backend = cpu<double>(2);
  Numbers p = noise(kSize, 10, 1);
  Numbers m(kSize, m_start), v(kSize, v_start), top(kSize);
  Numbers expected = p;
  Reference reference{options};
  reference.m = m_start, reference.v = v_start, reference.amsgrad = amsgrad;
  std::vector<Reference> references(kSize, reference);
  const bool rmsprop = options.kind == OptimizerKind::kRmsprop;
  const bool has_momentum = !rmsprop || options.momentum != 0;
  for (int t = 1; t <= kUpdates; ++t) {
    const Numbers g = noise(kSize, static_cast<uint32_t>(10 + t), 1);
    OptimizerStep<double> step = options;
    step.n = kSize;
    step.param = p.data();
    step.grad = g.data();
    step.slot0 = has_momentum ? m.data() : nullptr;
    step.slot1 = v.data();
    step.slot2 = amsgrad ? top.data() : nullptr;
    step.step = t;
    backend->update(step);
    for (size_t i = 0; i < expected.size(); ++i) {
      expected[i] = references[i].update(expected[i], g[i], t);
    }
  }
  // Two hundred updates of a handful of roundings each, of values near 1; one element in ten
  // thousand begins with a tiny second moment, by which the roundings of the first are divided.
  for (size_t i = 0; i < expected.size(); ++i) CHECK_NEAR(p[i], expected[i], 1e-11);
}

OptimizerStep<double> options(OptimizerKind kind) {
  OptimizerStep<double> step;
  step.kind = kind;
  step.learning_rate = 0.01;
  return step;
}

TEST(sgd_is_torchs) {
  OptimizerStep<double> plain = options(OptimizerKind::kSgd);
  plain.clip_value = 0.25;
  plain.grad_scale = 0.5;
  check_optimizer(plain);
  OptimizerStep<double> momentum = options(OptimizerKind::kSgd);
  momentum.momentum = 0.9;
  momentum.l2 = 0.1;
  momentum.grad_scale = 0.5;
  check_optimizer(momentum);
  momentum.nesterov = true;
  check_optimizer(momentum);
}

TEST(rmsprop_is_torchs) {
  OptimizerStep<double> step = options(OptimizerKind::kRmsprop);
  check_optimizer(step);
  step.epsilon = 0.5;
  check_optimizer(step);
  step.momentum = 0.8;
  step.l2 = 0.05;
  check_optimizer(step);
}

TEST(rmsprop_is_tensorflow_1s) {
  OptimizerStep<double> step = options(OptimizerKind::kRmsprop);
  step.rho = 0.9;
  step.epsilon = 1e-10;
  step.epsilon_inside = true;
  check_optimizer(step, 0, 1);
  step.epsilon = 0.5;  // large enough to tell the two places apart
  step.momentum = 0.5;
  check_optimizer(step, 0, 1);
}

TEST(amsgrad_is_torchs) {
  OptimizerStep<double> step = options(OptimizerKind::kAdam);
  step.beta2 = 0.5;  // so that the second moment falls below its largest value
  check_optimizer(step, 0, 0, true);
  step.kind = OptimizerKind::kAdamW;
  step.weight_decay = 0.1;
  check_optimizer(step, 0, 0, true);
}

TEST(adagrad_is_torchs_and_tensorflow_1s) {
  OptimizerStep<double> step = options(OptimizerKind::kAdagrad);
  step.epsilon = 1e-10;
  check_optimizer(step);
  step.epsilon = 0;
  step.l2 = 0.01;
  check_optimizer(step, 0.1);
}

TEST(adadelta_is_torchs) {
  OptimizerStep<double> step = options(OptimizerKind::kAdadelta);
  step.learning_rate = 1;
  step.rho = 0.9;
  step.epsilon = 1e-6;
  check_optimizer(step);
}

TEST(adam_is_torchs) {
  OptimizerStep<double> step = options(OptimizerKind::kAdam);
  check_optimizer(step);
  step.l2 = 0.1;
  step.grad_scale = 0.3;
  check_optimizer(step);
}

TEST(float_moments_take_what_betas_leave_before_rounding) {
  const auto backend = cpu<float>(1);
  for (const OptimizerKind kind : {OptimizerKind::kAdam, OptimizerKind::kRmsprop}) {
    // Rounded to float, both are 1.
    float p = 0, m = 0, v = 0;
    const float g = 0.01f;
    OptimizerStep<float> step;
    step.kind = kind;
    step.learning_rate = 0.5;
    step.beta2 = step.rho = 1 - 1e-8;
    step.epsilon = 0;
    step.n = 1;
    step.param = &p, step.grad = &g, step.slot1 = &v;
    if (kind == OptimizerKind::kAdam) step.slot0 = &m;
    step.step = 1;
    backend->update(step);
    // The first step of Adam is the rate; that of RMSprop is divided by sqrt(1 - rho). Some ten
    // roundings.
    const double expected = kind == OptimizerKind::kAdam ? 0.5 : 0.5e4;
    CHECK_NEAR(-p / expected, 1, 1e-6);
  }
}

TEST(adamw_is_torchs) {
  OptimizerStep<double> step = options(OptimizerKind::kAdamW);
  step.weight_decay = 0.1;
  check_optimizer(step);
}

TEST(gemm_with_both_operands_transposed_and_accumulating) {
  constexpr int64_t kM = 5, kN = 4, kK = 3;
  const Numbers a = noise(kM * kK, 20, 1), b = noise(kK * kN, 21, 1);
  for (const double beta : {0.0, 1.0}) {
    Numbers c(kM * kN, beta == 0 ? std::numeric_limits<double>::quiet_NaN() : 2.0);
    Gemm<double> g;
    g.m = kM, g.n = kN, g.k = kK;
    g.a = a.data(), g.a_row = 1, g.a_col = kM;
    g.b = b.data(), g.b_row = 1, g.b_col = kK;
    g.beta = beta, g.c = c.data(), g.c_row = kN;
    cpu<double>(1)->gemm(g);
    for (int64_t i = 0; i < kM; ++i) {
      for (int64_t j = 0; j < kN; ++j) {
        double expected = beta == 0 ? 0 : 2;
        for (int64_t k = 0; k < kK; ++k) {
          expected += a[static_cast<size_t>(k * kM + i)] * b[static_cast<size_t>(j * kK + k)];
        }
        CHECK_NEAR(c[static_cast<size_t>(i * kN + j)], expected, 1e-14);
      }
    }
  }
}

/// ||Q^T Q - I|| of a Householder factor is a small multiple of eps * sqrt(size); 1e-13 is generous
/// for 40.
TEST(orthogonalise_gives_orthonormal_columns_or_rows) {
  for (const auto& [rows, cols] : {std::pair{40, 40}, std::pair{40, 10}, std::pair{10, 40}}) {
    Numbers q = noise(rows * cols, 22, 1);
    orthogonalise(rows, cols, q.data());
    const bool tall = rows >= cols;
    const int count = tall ? cols : rows, length = tall ? rows : cols;
    for (int i = 0; i < count; ++i) {
      for (int j = 0; j < count; ++j) {
        double dot = 0;
        for (int k = 0; k < length; ++k) {
          const auto at = [&](int which) {
            return q[static_cast<size_t>(tall ? k * cols + which : which * cols + k)];
          };
          dot += at(i) * at(j);
        }
        CHECK_NEAR(dot, i == j ? 1 : 0, 1e-13);
      }
    }
  }
}

}  // namespace
}  // namespace lookback
