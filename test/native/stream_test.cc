/// Streams: equal to the forward pass over all steps, to the bit; their states; what cannot stream.
#include <limits>

#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

constexpr int64_t kBatch = 3, kSteps = 7, kInputs = 2;

Spec layer(const char* kind) { return spec({{"kind", std::string(kind)}}); }

std::vector<LayerSpec> deep() {
  return {dense(4, "tanh"), LayerSpec(layer("residual"), {lstm(4, true), dropout(0.5)}),
          layer("layerNorm"), lstm(5, true), dense(2, "softmax")};
}

HostTensor input() { return noise_tensor({kBatch, kSteps, kInputs}, 1); }

/// Step t of every row of a sequence whose steps have `width` numbers.
Numbers step_of(const Numbers& all, int64_t t, int64_t width) {
  Numbers step;
  for (int64_t b = 0; b < kBatch; ++b) {
    const int64_t at = (b * kSteps + t) * width;
    for (int64_t i = at; i < at + width; ++i) step.push_back(all[static_cast<size_t>(i)]);
  }
  return step;
}
Numbers step_of(const HostTensor& x, int64_t t) { return step_of(numbers_of(x), t, kInputs); }

Numbers run_step(Engine& of, int64_t stream, const Numbers& x) {
  const Engine::StreamSize size = of.stream_size(stream);
  CHECK_EQUAL(size.x, static_cast<int64_t>(x.size()));
  Numbers y(static_cast<size_t>(size.y));
  if (size.dtype == DType::kFloat64) {
    of.step_stream(stream, x.data(), y.data());
    return y;
  }
  const std::vector<float> from(x.begin(), x.end());
  std::vector<float> to(y.size());
  of.step_stream(stream, from.data(), to.data());
  return Numbers(to.begin(), to.end());
}

TEST(a_stream_equals_the_forward_pass_to_the_bit) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    for (const int threads : {1, 3}) {
      const auto made = engine(deep(), kInputs, dtype, threads);
      const Numbers whole = numbers_of(made->forward(input(), {}, false));
      const int64_t stream = made->add_stream(kBatch);
      for (int64_t t = 0; t < kSteps; ++t)
        CHECK(run_step(*made, stream, step_of(input(), t)) == step_of(whole, t, 2));
    }
  }
}

TEST(a_model_that_ends_in_one_row_gives_that_of_the_sequence_so_far) {
  const auto made = engine({lstm(4, true), lstm(3), dense(2)}, kInputs);
  const int64_t stream = made->add_stream(kBatch);
  for (int64_t t = 0; t < kSteps; ++t) {
    const Numbers y = run_step(*made, stream, step_of(input(), t));
    const std::vector<int32_t> lengths(kBatch, static_cast<int32_t>(t + 1));
    CHECK(y == numbers_of(made->forward(input(), lengths, false)));
  }
}

TEST(states_are_kept_changed_and_given_back) {
  const auto made = engine(deep(), kInputs);
  const int64_t stream = made->add_stream(kBatch);
  CHECK(made->stream_state(stream).empty());
  for (int64_t t = 0; t < 3; ++t) run_step(*made, stream, step_of(input(), t));
  NamedTensors state = made->stream_state(stream);
  std::string names;
  for (const NamedTensor& each : state) names += each.name + " ";
  CHECK_EQUAL(names, std::string("residual_2.lstm_1.h_n residual_2.lstm_1.c_n lstm_4.h_n "
                                 "lstm_4.c_n "));
  const Numbers next = run_step(*made, stream, step_of(input(), 3));

  const int64_t other = made->add_stream(kBatch);
  made->set_stream_state(other, std::move(state));
  CHECK(run_step(*made, other, step_of(input(), 3)) == next);
  // Two streams go on apart from each other.
  run_step(*made, other, step_of(input(), 0));
  const Numbers whole = numbers_of(made->forward(input(), {}, false));
  CHECK(run_step(*made, stream, step_of(input(), 4)) == step_of(whole, 4, 2));
  made->set_stream_state(stream, {});
  CHECK(run_step(*made, stream, step_of(input(), 0)) == step_of(whole, 0, 2));
}

/// A step between `forward` and `backward` leaves the pass alone; an update changes the next step.
TEST(streams_and_training_do_not_disturb_each_other) {
  const auto made = engine(deep(), kInputs);
  made->compile(named("meanSquaredError"), spec({{"kind", std::string("sgd")}}));
  const auto gradients = [&](bool step) {
    const int64_t stream = made->add_stream(kBatch);
    made->set_counters({0, 0});
    made->forward(input(), {}, true);
    if (step) run_step(*made, stream, step_of(input(), 0));
    made->backward(noise_tensor({kBatch, kSteps, 2}, 2));
    Numbers all;
    for (const NamedTensor& each : made->gradients()) {
      const Numbers part = numbers_of(each.tensor);
      all.insert(all.end(), part.begin(), part.end());
    }
    made->step(0);
    return all;
  };
  CHECK(gradients(true) == gradients(false));
  const int64_t stream = made->add_stream(kBatch);
  made->forward(input(), {}, true);
  made->backward(noise_tensor({kBatch, kSteps, 2}, 2));
  made->step(0.5);
  const Numbers whole = numbers_of(made->forward(input(), {}, false));
  CHECK(run_step(*made, stream, step_of(input(), 0)) == step_of(whole, 0, 2));
}

TEST(wrong_calls_are_refused) {
  const auto made = engine({lstm(4, true), dense(2)}, kInputs);
  const int64_t stream = made->add_stream(kBatch);
  Numbers x = step_of(input(), 0);
  run_step(*made, stream, x);
  x[3] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS(kData, "x holds nan at row 1", run_step(*made, stream, x));
  const auto with = [&](const std::string& name, std::vector<int64_t> shape) {
    NamedTensors state = made->stream_state(stream);
    state.front() = {NamedTensor::Role::kBuffer, name, noise_tensor(std::move(shape), 1)};
    made->set_stream_state(stream, std::move(state));
  };
  CHECK_THROWS(kFormat, "'lstm_1.c_n' is not part of this stream or is given twice",
               with("lstm_1.c_n", {kBatch, 4}));
  CHECK_THROWS(kFormat, "'lstm_1.h' is not part", with("lstm_1.h", {kBatch, 4}));
  CHECK_THROWS(kFormat, "has shape [3, 5]", with("lstm_1.h_n", {kBatch, 5}));
  NamedTensors half = made->stream_state(stream);
  half.pop_back();
  CHECK_THROWS(kFormat, "has 1 tensors; expected 2",
               made->set_stream_state(stream, std::move(half)));
  CHECK_THROWS(kOption, "batch is 0", made->add_stream(0));
  made->remove_stream(stream);
  CHECK_THROWS(kState, "there is no stream", made->stream_state(stream));
}

TEST(layers_that_read_steps_to_come_are_refused) {
  const auto refused = [](const std::vector<LayerSpec>& layers) {
    engine(layers, kInputs)->add_stream(1);
  };
  Spec backwards = lstm(2, true), pool = layer("pool");
  backwards.set("goBackwards", true);
  CHECK_THROWS(kState, "reads each row from its end", refused({backwards}));
  CHECK_THROWS(kState, "reads each row from both ends",
               refused({LayerSpec(layer("bidirectional"), {lstm(2, true)})}));
  CHECK_THROWS(kState, "reads each row from its end",
               refused({LayerSpec(layer("residual"), {backwards})}));
  refused({lstm(2, true), pool});
  pool.set("over", std::string("mean"));
  CHECK_THROWS(kState, "pools over all steps", refused({lstm(2, true), pool}));
}

}  // namespace
}  // namespace lookback
