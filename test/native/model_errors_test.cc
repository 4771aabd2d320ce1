/// Every way in which a model can be asked for something it cannot give.
#include <atomic>
#include <limits>

#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

// --------------------------------------------------------------------------------------------------------

TEST(a_gradient_or_update_that_is_not_finite_leaves_the_last_finite_update) {
  const auto made = engine({dense(4, "relu"), dense(1)}, 2, DType::kFloat32);
  made->compile(named("meanSquaredError"), named("sgd"));
  const auto add = [&](double target) {
    const Numbers targets(4, target);
    return made->add_data(noise_tensor({4, 1, 2}, 1),
                          copy_tensor({4, 1, 1}, targets.data(), "targets"), {});
  };
  const int64_t good = add(1), large = add(3e38);
  train(*made, good, first_rows(4), 2, 0.1);
  const Numbers before = state_of(*made);
  const auto check_unchanged = [&] {
    CHECK(state_of(*made) == before);
    CHECK_EQUAL(made->counters().updates, int64_t{2});
  };
  // The sum of four gradients of 1.5e38 is beyond what a float holds.
  CHECK_THROWS(kNumeric, "first in the gradient of dense",
               train(*made, large, first_rows(4), 4, 0.1));
  check_unchanged();
  // Without this check the next loss would be the first to show it.
  CHECK_THROWS(kNumeric, "makes dense_1.W", train(*made, good, first_rows(4), 4, 1e300));
  check_unchanged();
  train(*made, good, first_rows(4), 2, 0.1);
  CHECK_EQUAL(made->counters().updates, int64_t{4});
}

TEST(a_loss_that_is_not_finite_is_traced_to_its_layer) {
  Spec first = dense(2), second = dense(1);
  first.set("name", std::string("first"));
  second.set("name", std::string("second"));
  const auto made = engine({first, second}, 1, DType::kFloat32);
  made->compile(named("meanSquaredError"), named("adam"));
  const Numbers large = {1e38, 1e38};
  NamedTensors weights;
  weights.push_back(
      {NamedTensor::Role::kParam, "second.W", copy_tensor({1, 2}, large.data(), "weights")});
  weights.push_back(
      {NamedTensor::Role::kParam, "first.b", copy_tensor({2}, Numbers(2, 9).data(), "biases")});
  made->set_tensors(std::move(weights));
  const Numbers before = state_of(*made);
  const int64_t data = made->add_data(noise_tensor({4, 1, 1}, 1), noise_tensor({4, 1, 1}, 2), {});
  CHECK_THROWS(kNumeric, "update 1: the loss is inf, first seen in the output of layer 'second'",
               train(*made, data, first_rows(4), 4, 0.1));
  CHECK(state_of(*made) == before);
}

TEST(wrong_data_is_named) {
  const auto made = engine({lstm(4), dense(3)}, 2);
  const auto x = [] { return noise_tensor({2, 5, 2}, 1); };
  HostTensor bad = x();
  std::get<Buffer<double>>(bad.data)[17] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS(kData, "row 1, step 3, feature 1", made->add_data(std::move(bad), {}, {}));
  CHECK_THROWS(kData, "label 3 at row 1; expected 0..2 for 3 classes",
               made->add_data(x(), int_tensor({0, 3}), {}));
  CHECK_THROWS(kData, "label -1 at row 0", made->add_data(x(), int_tensor({-1, 0}), {}));
  CHECK_THROWS(kShape, "[2, 5, 2]; expected [rows, steps, 3]",
               engine({dense(1)}, 3)->add_data(x(), {}, {}));
  CHECK_THROWS(kShape, "expected [2], one per row", made->add_data(x(), int_tensor({0}), {}));
  CHECK_THROWS(kShape, "expected [2, 3]", made->add_data(x(), noise_tensor({2, 5, 3}, 1), {}));
  CHECK_THROWS(kData, "lengths holds 6 at row 1; expected 0..5",
               made->add_data(x(), {}, std::vector<int32_t>{5, 6}));
  CHECK_THROWS(kShape, "gives an output at every step",
               engine({lstm(4, true)}, 2)->add_data(x(), int_tensor({0, 1}), {}));
}

TEST(calls_out_of_order_are_refused) {
  const auto made = engine({dense(2)}, 2);
  const int64_t data = made->add_data(noise_tensor({2, 1, 2}, 1), {}, {});
  CHECK_THROWS(kState, "compile", train(*made, data, first_rows(2), 1, 0.1));
  CHECK_THROWS(kState, "forward first", made->backward(noise_tensor({2, 1, 2}, 1)));
  made->compile(named("meanSquaredError"), named("adam"));
  CHECK_THROWS(kState, "no targets", train(*made, data, first_rows(2), 1, 0.1));
  CHECK_THROWS(kState, "no gradients", made->step(0.1));
  CHECK_THROWS(kState, "no data set 77", made->evaluate(77, 1));
  made->forward(noise_tensor({2, 1, 2}, 1), {}, true);
  CHECK_THROWS(kShape, "expected [2, 1, 2]", made->backward(noise_tensor({2, 2}, 1)));
  made->backward(noise_tensor({2, 1, 2}, 1));
  CHECK_THROWS(kState, "once", made->backward(noise_tensor({2, 1, 2}, 1)));
}

TEST(hostile_sizes_are_refused) {
  CHECK_THROWS(kMemory, "does not fit in 64 bits", engine({dense(1 << 30), dense(1 << 30)}, 2));
  CHECK_THROWS(kMemory, "bytes are needed", engine({dense(1 << 20)}, int64_t{1} << 30));
  CHECK_THROWS(kMemory, "does not fit in 64 bits",
               element_count({int64_t{1} << 40, int64_t{1} << 40}, "x"));
  CHECK_THROWS(kOption, "units", engine({dense(1e12)}, 2));
  CHECK_THROWS(kOption, "inputSize", engine({dense(1)}, -5));
  CHECK_THROWS(kOption, "unknown option unitz",
               engine({spec({{"kind", std::string("dense")}, {"unitz", 4.0}})}, 2));
  CHECK_THROWS(kOption, "returnSequences: true", engine({lstm(4), lstm(4)}, 2));
}

TEST(tensors_are_set_all_or_nothing) {
  const auto made = engine({dense(2)}, 2);
  const Numbers before = state_of(*made);
  const auto set = [&](const char* second, std::vector<int64_t> shape) {
    NamedTensors tensors;
    tensors.push_back({NamedTensor::Role::kParam, "dense_1.W", noise_tensor({2, 2}, 8)});
    tensors.push_back({NamedTensor::Role::kParam, second, noise_tensor(std::move(shape), 8)});
    made->set_tensors(std::move(tensors));
  };
  CHECK_THROWS(kFormat, "'dense_1.zorn' is not part", set("dense_1.zorn", {2}));
  CHECK_THROWS(kFormat, "has shape [3]", set("dense_1.b", {3}));
  CHECK_THROWS(kFormat, "given twice", set("dense_1.W", {2, 2}));
  CHECK(state_of(*made) == before);
  set("dense_1.b", {2});
  CHECK(state_of(*made) != before);
}

TEST(a_cancelled_job_leaves_the_state_of_its_last_update) {
  const auto made = engine({lstm(8), dense(2)}, 2);
  made->compile(named("softmaxCrossEntropy"), named("adam"));
  const int64_t data = add_xor(*made);
  std::atomic<bool> cancel{false};
  made->set_cancel(&cancel);
  Numbers at_cancel;
  const std::vector<uint32_t> rows = first_rows(256);
  const auto run = [&] {
    made->train(data, {rows.data(), 256, 16, 0.01}, [&](const Sums& sums) {
      if (sums.steps != 3) return;
      cancel = true;
      at_cancel = state_of(*made);
    });
  };
  CHECK_THROWS(kAborted, "cancelled", run());
  CHECK(state_of(*made) == at_cancel);
  CHECK_EQUAL(made->counters().updates, int64_t{3});
  CHECK_THROWS(kAborted, "cancelled", made->predict(data, 16));
  made->set_cancel(nullptr);
  CHECK_EQUAL(made->evaluate(data, 16).rows, int64_t{256});
}

TEST(memory_is_counted) {
  const auto made = engine({dense(10)}, 10, DType::kFloat32);
  const int64_t idle = made->memory().params;
  CHECK(idle >= 2 * 110 * 4);
  made->compile(named("meanSquaredError"), named("adam"));
  CHECK(made->memory().params >= idle + 2 * 110 * 4);
  const int64_t data = made->add_data(noise_tensor({7, 3, 10}, 1), {}, {});
  CHECK(made->memory().data >= 7 * 3 * 10 * 4);
  made->predict(data, 7);
  CHECK(made->memory().activations >= 2 * 7 * 3 * 10 * 4);
  made->remove_data(data);
  CHECK_EQUAL(made->memory().data, int64_t{0});
}

}  // namespace
}  // namespace lookback
