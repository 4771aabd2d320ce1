/// Losses against formulas written out here, their gradients against central differences, and what
/// takes part in them: valid steps, weights, targets that are there.
#include "ops/loss.h"

#include <functional>
#include <limits>

#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kTerms = 7, kTargets = 3;
/// As in ops_test.cc.
constexpr double kStep = 1e-6, kBound = 1e-8;

struct Case {
  const char* name;
  Loss loss;
  /// Mean loss of one term.
  std::function<double(const double* y, const double* t)> expected;
};

Spec loss_spec(const char* kind, std::vector<std::pair<std::string, Spec::Value>> more = {}) {
  more.emplace_back("kind", std::string(kind));
  return spec(more);
}

double mean_of(const std::function<double(double, double)>& f, const double* y, const double* t) {
  double sum = 0;
  for (int j = 0; j < kTargets; ++j) sum += f(y[j], t[j]);
  return sum / kTargets;
}

std::vector<Case> cases() {
  const auto each = [](std::function<double(double, double)> f) {
    return [f](const double* y, const double* t) { return mean_of(f, y, t); };
  };
  const auto pinball = [](const double* y, const double* t) {
    const double q[2] = {0.1, 0.7};
    double sum = 0;
    for (int j = 0; j < kTargets; ++j) {
      for (int k = 0; k < 2; ++k) {
        const double off = t[j] - y[2 * j + k];
        sum += std::max(q[k] * off, (q[k] - 1) * off);
      }
    }
    return sum / (2 * kTargets);
  };
  const auto gaussian = [](const double* y, const double* t) {
    double sum = 0;
    for (int j = 0; j < kTargets; ++j) {
      const double v = std::exp(y[kTargets + j]) + 0.01;
      const double density = std::exp(-(t[j] - y[j]) * (t[j] - y[j]) / (2 * v)) /
                             std::sqrt(2 * 3.14159265358979323846 * v);
      sum -= std::log(density);
    }
    return sum / kTargets;
  };
  return {
      {"squared", read_loss(loss_spec("meanSquaredError")),
       each([](double y, double t) { return (y - t) * (y - t); })},
      {"absolute", read_loss(loss_spec("meanAbsoluteError")),
       each([](double y, double t) { return std::abs(y - t); })},
      {"huber", read_loss(loss_spec("huber", {{"delta", 0.4}})), each([](double y, double t) {
         const double off = std::abs(y - t);
         return off < 0.4 ? off * off / 2 : 0.4 * (off - 0.2);
       })},
      {"quantile", read_loss(loss_spec("quantile", {{"quantile0", 0.1}, {"quantile1", 0.7}})),
       pinball},
      {"gaussian", read_loss(loss_spec("gaussianNegativeLogLikelihood", {{"minVariance", 0.01}})),
       gaussian},
      {"binary", read_loss(loss_spec("binaryCrossentropy")), each([](double z, double t) {
         const double p = 1 / (1 + std::exp(-z));
         return -t * std::log(p) - (1 - t) * std::log(1 - p);
       })},
  };
}

/// A call of one of the cases with noise for outputs and targets.
struct Trial {
  Numbers y, t, d;
  LossCall<double> call;
  std::unique_ptr<Backend<double>> backend = make_backend<double>(DeviceKind::kCpu, 1);

  explicit Trial(const Case& of) {
    const auto& loss = of.loss;
    int64_t outputs = kTargets;
    if (loss.kind == LossKind::kQuantile || loss.kind == LossKind::kGaussian) outputs *= 2;
    CHECK_EQUAL(loss.target_size(outputs), kTargets);
    for (int64_t i = 0; i < kTerms * outputs; ++i) y.push_back(1.5 * noise(1, i));
    for (int64_t i = 0; i < kTerms * kTargets; ++i) t.push_back((noise(2, i) + 1) / 2);
    d.assign(y.size(), kNaN);
    call.kind = loss.kind;
    call.terms = kTerms;
    call.outputs = outputs;
    call.y = y.data();
    call.target_size = kTargets;
    call.targets = t.data();
    call.d = d.data();
    call.delta = loss.delta;
    call.min_variance = loss.min_variance;
    call.quantiles = loss.quantiles.data();
  }

  double loss() const {
    LossCall<double> forward = call;
    forward.d = nullptr;
    return backend->loss(forward).loss;
  }

  void check_gradient() {
    const double sum = backend->loss(call).loss;
    CHECK_EQUAL(sum, loss());
    for (size_t i = 0; i < y.size(); ++i) {
      const double kept = y[i];
      y[i] = kept + kStep;
      const double up = loss();
      y[i] = kept - kStep;
      const double down = loss();
      y[i] = kept;
      CHECK_NEAR(d[i], call.scale * (up - down) / (2 * kStep), kBound);
    }
  }
};

TEST(losses_are_their_formulas) {
  for (const Case& each : cases()) {
    Trial trial(each);
    double expected = 0;
    for (int64_t r = 0; r < kTerms; ++r) {
      expected +=
          each.expected(trial.y.data() + r * trial.call.outputs, trial.t.data() + r * kTargets);
    }
    CHECK_NEAR(trial.loss(), expected, 1e-12);
  }
}

TEST(gradients_are_those_of_the_losses) {
  for (const Case& each : cases()) {
    Trial trial(each);
    trial.check_gradient();
    trial.call.scale = 0.25;
    trial.check_gradient();
  }
}

TEST(weights_multiply_and_nothing_of_weight_zero_is_read) {
  for (const Case& each : cases()) {
    Trial trial(each);
    const Numbers weights = {1, 0.5, 0, 2, 0, 3, 0.25};
    trial.call.weights = weights.data();
    double expected = 0;
    for (size_t r = 0; r < kTerms; ++r) {
      const size_t outputs = static_cast<size_t>(trial.call.outputs);
      expected +=
          weights[r] * each.expected(trial.y.data() + r * outputs, trial.t.data() + r * kTargets);
    }
    CHECK_NEAR(trial.loss(), expected, 1e-12);
    trial.check_gradient();
    const Numbers d = trial.d;
    for (int64_t i = 0; i < trial.call.outputs; ++i) {
      trial.y[static_cast<size_t>(2 * trial.call.outputs + i)] = kNaN;
      CHECK_EQUAL(d[static_cast<size_t>(2 * trial.call.outputs + i)], 0.0);
    }
    CHECK_NEAR(trial.backend->loss(trial.call).loss, expected, 1e-12);
    CHECK(trial.d == d);
  }
}

TEST(targets_that_are_nan_take_no_part) {
  for (const Case& each : cases()) {
    Trial trial(each);
    Trial there(each);
    trial.t[4] = kNaN;
    trial.check_gradient();
    there.backend->loss(there.call);
    // Of the term's other targets the gradient is as it was: the mean is over all of them.
    size_t zeros = 0;
    for (size_t i = 0; i < trial.d.size(); ++i) {
      if (trial.d[i] == there.d[i]) continue;
      CHECK_EQUAL(trial.d[i], 0.0);
      ++zeros;
    }
    CHECK_EQUAL(zeros, static_cast<size_t>(trial.call.outputs / kTargets));
  }
}

TEST(binary_cross_entropy_survives_large_logits) {
  const ElementLoss right = binary_cross_entropy(800, 1), wrong = binary_cross_entropy(-800, 1);
  CHECK_EQUAL(right.loss, 0.0);
  CHECK_EQUAL(right.d, 0.0);
  CHECK_EQUAL(wrong.loss, 800.0);
  CHECK_EQUAL(wrong.d, -1.0);
}

TEST(losses_at_their_corners) {
  CHECK_EQUAL(absolute_error(1, 1).d, 0.0);
  CHECK_EQUAL(quantile_loss(1, 1, 0.3).d, 0.0);
  CHECK_EQUAL(huber_loss(1.5, 1, 0.5).loss, 0.125);
  CHECK_EQUAL(huber_loss(1.5, 1, 0.5).d, 0.5);
}

// -------------------------------------------------------------------------------- whole models

/// The loss that a model reports and the gradient it trains with: one SGD update against central
/// differences of the reported mean.
void check_training(const std::vector<LayerSpec>& layers, const Spec& loss, const DataInput& data) {
  const auto made = engine(layers, data.x.shape.back());
  made->compile(loss, spec({{"kind", std::string("sgd")}}));
  std::optional<HostTensor> y, weights;
  if (data.y) y = copy_of(*data.y);
  if (data.weights) weights = copy_of(*data.weights);
  const int64_t handle =
      made->add_data(copy_of(data.x), std::move(y), data.lengths, std::move(weights));
  const auto mean = [&] {
    const Sums sums = made->evaluate(handle, 100);
    return sums.loss / sums.weight;
  };
  const NamedTensors before = made->tensors();
  const double start = mean();
  const auto rows = static_cast<uint32_t>(data.x.shape[0]);
  const Sums sums = train(*made, handle, first_rows(rows), rows, 1);
  CHECK_NEAR(sums.loss / sums.weight, start, 1e-13);
  const NamedTensors after = made->tensors();
  for (size_t i = 0; i < before.size(); ++i) {
    Numbers param = numbers_of(before[i].tensor);
    const Numbers moved = numbers_of(after[i].tensor);
    const auto with = [&](size_t at, double value) {
      Numbers changed = param;
      changed[at] = value;
      NamedTensors all;
      for (const NamedTensor& each : before)
        all.push_back({each.role, each.name, copy_of(each.tensor)});
      all[i].tensor = copy_tensor(before[i].tensor.shape, changed.data(), "a parameter");
      made->set_tensors(std::move(all));
      return mean();
    };
    for (size_t at = 0; at < param.size(); ++at) {
      const double slope =
          (with(at, param[at] + kStep) - with(at, param[at] - kStep)) / (2 * kStep);
      CHECK_NEAR(param[at] - moved[at], slope, 1e-7);
    }
  }
}

HostTensor label_steps(int64_t rows, int64_t steps, int32_t classes) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < rows * steps; ++i) labels.push_back(static_cast<int32_t>(i) % classes);
  return copy_tensor<int32_t>({rows, steps}, labels.data(), "labels");
}

TEST(labels_at_every_step_with_lengths) {
  DataInput data;
  data.x = noise_tensor({4, 5, 2}, 1);
  data.y = label_steps(4, 5, 3);
  // What is behind a length is never looked at.
  std::get<Buffer<int32_t>>(data.y->data)[9] = -7;
  data.lengths = std::vector<int32_t>{5, 2, 0, 4};
  check_training({lstm(3, true), dense(3, "softmax")}, named("softmaxCrossEntropy"), data);
}

TEST(a_single_step_that_a_row_does_not_have) {
  DataInput data;
  data.x = noise_tensor({3, 1, 2}, 1);
  data.y = label_steps(3, 1, 3);
  std::get<Buffer<int32_t>>(data.y->data)[1] = -1;
  data.lengths = std::vector<int32_t>{1, 0, 1};
  check_training({lstm(3, true), dense(3, "softmax")}, named("softmaxCrossEntropy"), data);
  data.y = noise_tensor({3, 1, 2}, 2);
  std::get<Buffer<double>>(data.y->data)[3] = kNaN;
  check_training({lstm(3, true), dense(2)}, named("meanSquaredError"), data);
}

TEST(targets_at_every_step_with_lengths_weights_and_nan) {
  DataInput data;
  data.x = noise_tensor({4, 5, 2}, 1);
  data.y = noise_tensor({4, 5, 2}, 2);
  auto& y = std::get<Buffer<double>>(data.y->data);
  y[3] = y[8] = y[9] = kNaN;
  y[19] = std::numeric_limits<double>::infinity();  // behind the length
  data.lengths = std::vector<int32_t>{5, 2, 0, 4};
  data.weights = noise_tensor({4, 5}, 3);
  auto& weights = std::get<Buffer<double>>(data.weights->data);
  for (int64_t i = 0; i < weights.size(); ++i) weights[i] = i % 3 == 0 ? 0 : std::abs(weights[i]);
  for (const char* kind : {"meanSquaredError", "huber", "meanAbsoluteError"}) {
    check_training({lstm(3, true), dense(2)}, loss_spec(kind, {{"skipNaN", true}}), data);
  }
}

TEST(rows_with_weights) {
  DataInput data;
  data.x = noise_tensor({4, 3, 2}, 1);
  data.y = int_tensor({0, 1, 1, 0});
  data.weights = make_tensor<double>({4}, "weights");
  auto& weights = std::get<Buffer<double>>(data.weights->data);
  weights[0] = 2, weights[1] = 0, weights[2] = 0.5, weights[3] = 1;
  check_training({lstm(3), dense(2, "softmax")}, named("softmaxCrossEntropy"), data);
}

TEST(the_losses_of_rows) {
  for (const char* kind : {"binaryCrossentropy", "gaussianNegativeLogLikelihood"}) {
    DataInput data;
    data.x = noise_tensor({4, 3, 2}, 1);
    const bool binary = kind[0] == 'b';
    data.y = noise_tensor({4, binary ? 2 : 1}, 2);
    auto& y = std::get<Buffer<double>>(data.y->data);
    for (int64_t i = 0; i < y.size(); ++i) y[i] = (1 + y[i]) / 2;
    check_training({lstm(3), dense(2, binary ? "sigmoid" : "linear")}, named(kind), data);
  }
  DataInput data;
  data.x = noise_tensor({4, 3, 2}, 1);
  data.y = noise_tensor({4}, 2);
  check_training({lstm(3), dense(2)},
                 loss_spec("quantile", {{"quantile0", 0.2}, {"quantile1", 0.9}}), data);
}

/// Padding is no part of the mean: the loss is that of the steps alone.
TEST(the_mean_is_over_valid_steps) {
  const auto made = engine({dense(1)}, 1);
  made->compile(named("meanSquaredError"), spec({{"kind", std::string("sgd")}}));
  NamedTensors zero;
  for (NamedTensor& each : made->tensors()) {
    std::get<Buffer<double>>(each.tensor.data).zero();
    zero.push_back(std::move(each));
  }
  made->set_tensors(std::move(zero));
  HostTensor y = make_tensor<double>({2, 3, 1}, "y");
  auto& numbers = std::get<Buffer<double>>(y.data);
  numbers[0] = 1, numbers[3] = 2, numbers[4] = 3, numbers[5] = 4;
  const int64_t data =
      made->add_data(noise_tensor({2, 3, 1}, 1), std::move(y), std::vector<int32_t>{1, 3});
  const Sums sums = made->evaluate(data, 10);
  CHECK_EQUAL(sums.weight, 4.0);
  CHECK_EQUAL(sums.count, 4.0);
  CHECK_NEAR(sums.loss, 1 + 4 + 9 + 16, 1e-12);
  CHECK_NEAR(sums.absolute, 1 + 2 + 3 + 4, 1e-12);
}

TEST(a_batch_without_any_valid_step_changes_nothing) {
  const auto made = engine({lstm(2, true), dense(2, "softmax")}, 1);
  made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("sgd")}}));
  const int64_t data =
      made->add_data(noise_tensor({2, 3, 1}, 1), label_steps(2, 3, 2), std::vector<int32_t>{0, 0});
  const Numbers before = state_of(*made);
  const Sums sums = train(*made, data, first_rows(2), 2, 1);
  CHECK_EQUAL(sums.weight, 0.0);
  CHECK_EQUAL(sums.loss, 0.0);
  CHECK(state_of(*made) == before);
}

TEST(wrong_losses_and_answers_are_refused) {
  const auto made = engine({lstm(2, true), dense(3)}, 1);
  const Spec sgd = spec({{"kind", std::string("sgd")}});
  CHECK_THROWS(kOption, "quantile0 is missing", made->compile(named("quantile"), sgd));
  CHECK_THROWS(kOption, "quantile0 is 1",
               made->compile(loss_spec("quantile", {{"quantile0", 1.0}}), sgd));
  CHECK_THROWS(kOption, "delta is 0", made->compile(loss_spec("huber", {{"delta", 0.0}}), sgd));
  CHECK_THROWS(kShape, "wants 2 outputs for each target",
               made->compile(named("gaussianNegativeLogLikelihood"), sgd));
  CHECK_THROWS(kOption, "unknown option skipNaN",
               made->compile(loss_spec("softmaxCrossEntropy", {{"skipNaN", true}}), sgd));
  made->compile(named("meanSquaredError"), sgd);
  const auto add = [&](HostTensor y, std::optional<HostTensor> weights = {}) {
    return made->add_data(noise_tensor({2, 3, 1}, 1), std::move(y), {}, std::move(weights));
  };
  HostTensor holes = noise_tensor({2, 3, 3}, 2);
  std::get<Buffer<double>>(holes.data)[14] = kNaN;
  CHECK_THROWS(kData, "y holds nan at row 1, step 1, feature 2", add(std::move(holes)));
  CHECK_THROWS(kShape, "y has shape [2, 3]", add(noise_tensor({2, 3}, 2)));
  CHECK_THROWS(kShape, "labels; expected [2, 3]", add(int_tensor({0, 1})));
  CHECK_THROWS(kData, "label 3 at row 1, step 0", add(label_steps(2, 3, 4), {}));
  CHECK_THROWS(kShape, "the weights have shape [3]",
               add(noise_tensor({2, 3, 3}, 2), noise_tensor({3}, 1)));
  HostTensor negative = make_tensor<double>({2}, "weights");
  std::get<Buffer<double>>(negative.data)[1] = -0.5;
  CHECK_THROWS(kData, "the weights hold -0.5 at row 1",
               add(noise_tensor({2, 3, 3}, 2), std::move(negative)));
  const int64_t data = add(noise_tensor({2, 3, 3}, 2));
  made->compile(loss_spec("quantile", {{"quantile0", 0.5}, {"quantile1", 0.6}, {"quantile2", 0.7}}),
                sgd);
  CHECK_THROWS(kState, "add the data again after compile", made->evaluate(data, 1));
}

}  // namespace
}  // namespace lookback
