/// Gradients and training of whole models. For the bounds of the gradient checks see ops_test.cc.
#include "native/check.h"
#include "native/model_gradients.h"
#include "native/models.h"

namespace lookback {
namespace {

TEST(gradients_of_dense_layers_on_sequences) {
  check_gradients({dense(4, "elu"), dense(3, "tanh"), dense(2, "softmax")}, {2, 3, 5}, {});
}

TEST(gradients_of_a_classifier_on_the_last_step) {
  check_gradients({dense(3, "sigmoid"), lstm(4), dense(2, "softmax")}, {3, 4, 2}, {});
}

TEST(gradients_with_lengths_down_to_none) {
  check_gradients({lstm(3, true), lstm(3), dense(2)}, {4, 4, 2}, std::vector<int32_t>{4, 1, 0, 3});
}

TEST(gradients_through_dropout) {
  check_gradients({dense(6, "elu"), dropout(0.4), lstm(4), dropout(0.5), dense(2)}, {2, 3, 2}, {});
}

TEST(gradients_accumulate_until_step) {
  const auto made = engine({dense(2)}, 3);
  made->compile(named("meanSquaredError"), spec({{"kind", std::string("sgd")}}));
  const auto pass = [&] {
    made->forward(noise_tensor({2, 1, 3}, 1), {}, true);
    made->backward(noise_tensor({2, 1, 2}, 2));
    return numbers_of(made->gradients().front().tensor);
  };
  const Numbers once = pass(), twice = pass();
  for (size_t i = 0; i < once.size(); ++i) CHECK_NEAR(twice[i], 2 * once[i], 1e-15);
  made->step(0.1);
  const Numbers again = numbers_of(made->gradients().front().tensor);
  for (const double value : again) CHECK_EQUAL(value, 0.0);
}

// -------------------------------------------------------------------------------------------------------

TEST(training_solves_xor) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const auto made = engine({lstm(16), dense(2, "softmax")}, 2, dtype);
    made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("adam")}}));
    const int64_t data = add_xor(*made);
    for (int epoch = 0; epoch < 60; ++epoch) train(*made, data, first_rows(256), 32, 0.02);
    const Sums sums = made->evaluate(data, 100);
    CHECK_EQUAL(sums.rows, int64_t{256});
    CHECK_EQUAL(sums.steps, int64_t{3});
    CHECK(sums.hits >= 243);  // 95 %
    CHECK_EQUAL(made->counters().updates, int64_t{480});
  }
}

TEST(training_fits_a_regression_at_every_step) {
  const auto made = engine({dense(16, "tanh"), dense(1)}, 2);
  made->compile(named("meanSquaredError"), spec({{"kind", std::string("adam")}}));
  const int64_t data = add_xor(*made, false);
  for (int epoch = 0; epoch < 200; ++epoch) train(*made, data, first_rows(256), 32, 0.02);
  // A constant guess has a mean squared error of 1/4.
  CHECK(made->evaluate(data, 256).loss / 256 < 0.05);
}

/// The loss that train reports, and its gradient, are those of the mean over the batch.
TEST(one_sgd_update_is_the_mean_gradient) {
  const auto made = engine({dense(3), lstm(4), dense(2, "softmax")}, 2);
  made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("sgd")}}));
  const int64_t data = add_xor(*made);
  const double loss = made->evaluate(data, 64).loss;
  const Numbers before = state_of(*made);
  const double norm_rate = 1e-5;
  const Sums sums = train(*made, data, first_rows(256), 256, norm_rate);
  CHECK_NEAR(sums.loss, loss, 1e-10);
  const Numbers after = state_of(*made);
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    squares += (after[i] - before[i]) * (after[i] - before[i]);
  }
  // To first order the mean loss falls by |dp|^2 / rate; the second order is smaller by another
  // factor of the rate.
  const double expected = squares / norm_rate;
  CHECK_NEAR((loss - made->evaluate(data, 64).loss) / 256, expected, 1e-3 * expected);
}

TEST(clip_norm_bounds_an_update) {
  const auto made = engine({dense(8), dense(2)}, 2);
  made->compile(named("meanSquaredError"),
                spec({{"kind", std::string("sgd")}, {"clipNorm", 0.125}}));
  HostTensor y = noise_tensor({4, 1, 2}, 6);
  for (int64_t i = 0; i < 8; ++i) std::get<Buffer<double>>(y.data)[i] *= 1000;
  const int64_t data = made->add_data(noise_tensor({4, 1, 2}, 5), std::move(y), {});
  const Numbers before = state_of(*made);
  train(*made, data, first_rows(4), 4, 1);
  const Numbers after = state_of(*made);
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    squares += (after[i] - before[i]) * (after[i] - before[i]);
  }
  CHECK_NEAR(std::sqrt(squares), 0.125, 1e-12);
}

TEST(frozen_layers_stay) {
  Spec frozen = dense(4, "elu");
  frozen.set("trainable", false);
  frozen.set("name", std::string("still"));
  const auto made = engine({frozen, dense(1)}, 2);
  made->compile(named("meanSquaredError"), spec({{"kind", std::string("adamw")}}));
  const int64_t data = add_xor(*made, false);
  const NamedTensors before = made->tensors();
  train(*made, data, first_rows(256), 64, 0.1);
  const NamedTensors after = made->tensors();
  for (size_t i = 0; i < before.size(); ++i) {
    const bool still = before[i].name.rfind("still.", 0) == 0;
    CHECK_EQUAL(numbers_of(before[i].tensor) == numbers_of(after[i].tensor), still);
  }
}

}  // namespace
}  // namespace lookback
