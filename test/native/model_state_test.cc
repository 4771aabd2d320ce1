/// What a model's numbers depend on, and what not: threads, batch size, padding, seed, restarts;
/// how they start.
#include "model/initialize.h"
#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

// ----------------------------------------------------------------------------------------------------

std::vector<LayerSpec> wide_layers() {
  return {dense(48, "elu"), dropout(0.2), lstm(32, true), dropout(0.3), lstm(16), dense(2)};
}

Numbers train_wide(int threads) {
  const auto made = engine(wide_layers(), 4, DType::kFloat32, threads);
  made->compile(named("softmaxCrossEntropy"),
                spec({{"kind", std::string("adam")}, {"clipNorm", 1.0}}));
  std::vector<int32_t> labels(100), lengths(100);
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<int32_t>(i % 2);
    lengths[i] = static_cast<int32_t>(1 + i % 20);
  }
  const int64_t data = made->add_data(noise_tensor({100, 20, 4}, 1), int_tensor(labels), lengths);
  train(*made, data, first_rows(100), 37, 0.01);
  return state_of(*made);
}

TEST(training_is_equal_to_the_bit_for_any_number_of_threads) {
  const Numbers one = train_wide(1);
  CHECK(train_wide(2) == one);
  CHECK(train_wide(3) == one);
}

TEST(predictions_do_not_depend_on_the_batch_size) {
  const auto made = engine(wide_layers(), 4, DType::kFloat32, 2);
  const int64_t data = made->add_data(noise_tensor({50, 9, 4}, 1), {}, {});
  const Numbers whole = numbers_of(made->predict(data, 1000));
  for (const int64_t batch : {int64_t{1}, int64_t{7}, int64_t{50}}) {
    CHECK(numbers_of(made->predict(data, batch)) == whole);
  }
}

TEST(padding_changes_nothing) {
  const auto made = engine(wide_layers(), 4, DType::kFloat32, 1);
  HostTensor padded = noise_tensor({3, 9, 4}, 1);
  HostTensor cut = make_tensor<double>({3, 6, 4}, "cut");
  for (int64_t row = 0; row < 3; ++row) {
    std::copy_n(std::get<Buffer<double>>(padded.data).data() + row * 36, 24,
                std::get<Buffer<double>>(cut.data).data() + row * 24);
  }
  const std::vector<int32_t> lengths = {6, 2, 5};
  // Also with masks: an element's mask must not depend on the number of steps.
  made->set_counters({0, 0});
  const Numbers long_output = numbers_of(made->forward(std::move(padded), lengths, true));
  made->set_counters({0, 0});
  CHECK(numbers_of(made->forward(std::move(cut), lengths, true)) == long_output);
}

TEST(a_restored_run_continues_to_the_bit) {
  const auto start = [] {
    auto made = engine(wide_layers(), 4, DType::kFloat32, 1);
    made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("adam")}}));
    return made;
  };
  const auto add = [](Engine& to) {
    return to.add_data(noise_tensor({24, 5, 4}, 1), int_tensor(std::vector<int32_t>(24, 1)), {});
  };
  const auto whole = start();
  const int64_t data = add(*whole);
  train(*whole, data, first_rows(24), 4, 0.01);
  NamedTensors kept = whole->tensors();
  const Counters counters = whole->counters();
  train(*whole, data, first_rows(24), 4, 0.01);

  const auto resumed = start();
  resumed->set_tensors(std::move(kept));
  resumed->set_counters(counters);
  train(*resumed, add(*resumed), first_rows(24), 4, 0.01);
  CHECK(state_of(*resumed) == state_of(*whole));
  CHECK_EQUAL(resumed->counters().draws, int64_t{12});
}

TEST(another_seed_is_another_model_and_the_same_seed_the_same) {
  EngineSpec made;
  made.input_size = 3;
  made.layers = {dense(5), lstm(4)};
  made.seed = 1;
  const Numbers first = state_of(*make_engine(made));
  CHECK(state_of(*make_engine(made)) == first);
  made.seed = 2;
  CHECK(state_of(*make_engine(made)) != first);
}

// -------------------------------------------------------------------------------------------------

TEST(initial_values_are_where_their_initializer_says) {
  ParamInfo info{"p", {30, 20}, {}};
  info.init.kind = Initializer::kUniform;
  info.init.value = 0.25;
  info.init.rows.push_back({10, 20, 1.0});
  Numbers values(600);
  initialize(info, 1, 0, values.data());
  for (size_t i = 0; i < 600; ++i) {
    if (i / 20 / 10 == 1) {
      CHECK_EQUAL(values[i], 1.0);
    } else {
      CHECK(std::abs(values[i]) <= 0.25);
    }
  }
  // 400 uniforms reach beyond 0.95 of their range but for odds of 0.95^400, one in a billion.
  CHECK(*std::max_element(values.begin(), values.begin() + 200) > 0.95 * 0.25);
  info.init = {Initializer::kOrthogonal, 0, {}, {}};
  initialize(info, 1, 0, values.data());
  double dot = 0, square = 0;
  for (size_t i = 0; i < 30; ++i) {
    dot += values[20 * i] * values[20 * i + 1];
    square += values[20 * i] * values[20 * i];
  }
  CHECK_NEAR(dot, 0, 1e-13);
  CHECK_NEAR(square, 1, 1e-13);
}

TEST(dense_starts_as_asked) {
  const auto xavier = engine({dense(4)}, 8);
  const NamedTensors tensors = xavier->tensors();
  CHECK_EQUAL(tensors[0].name, std::string("dense_1.W"));
  CHECK_EQUAL(shape_text(tensors[0].tensor.shape), std::string("[4, 8]"));
  for (const double w : numbers_of(tensors[0].tensor)) CHECK(std::abs(w) <= std::sqrt(6.0 / 12));
  for (const double b : numbers_of(tensors[1].tensor)) CHECK_EQUAL(b, 0.0);
  Spec torch = dense(4);
  torch.set("init", std::string("pytorch"));
  for (const NamedTensor& each : engine({torch}, 8)->tensors()) {
    for (const double value : numbers_of(each.tensor)) {
      CHECK(value != 0 && std::abs(value) <= 1 / std::sqrt(8.0));
    }
  }
}

}  // namespace
}  // namespace lookback
