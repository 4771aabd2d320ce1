// Where the results of a cell lie: in room that its caller has made.
#include "native/cell_runs.h"
#include "native/check.h"

namespace lookback {
namespace {

struct Case {
  const char* kind;
  Spec spec;
  bool resets = true;  ///< not where rows meet in batch statistics
};

std::vector<Case> cases() {
  const auto of = [](std::vector<std::pair<std::string, Spec::Value>> entries) {
    entries.push_back({"inputSize", 3.0});
    return spec(entries);
  };
  return {
      {"lstm", of({{"units", 4.0}})},
      {"larnn", of({{"units", 4.0},
                    {"heads", 2.0},
                    {"window", 3.0},
                    {"layers", 2.0},
                    {"normalization", std::string("none")}})},
      {"rra", of({{"units", 4.0}, {"window", 3.0}})},
      {"enrnn", of({{"longUnits", 3.0}, {"shortUnits", 2.0}, {"storage", std::string("packed")}})},
      {"scornn", of({{"units", 4.0}, {"storage", std::string("packed")}})},
      {"bnlstm", of({{"units", 4.0}, {"tMax", 7.0}}), false},
  };
}

/// Outputs, then gradients, written into room that holds `filled`.
Numbers results_over(const Case& c, double filled) {
  constexpr int64_t kBatch = 3, kSteps = 7;
  const auto runner = make_cell_runner(c.kind, c.spec, DType::kFloat64, DeviceKind::kCpu);
  NamedTensors inputs;
  inputs.push_back({NamedTensor::Role::kParam, "x", noise_tensor({kBatch, kSteps, 3}, 1)});
  inputs.push_back({NamedTensor::Role::kParam, "lengths", int_tensor({7, 4, 1})});
  if (c.resets) {
    HostTensor resets = make_tensor<double>({kBatch, kSteps}, "resets");
    std::get<Buffer<double>>(resets.data)[3] = 1;
    inputs.push_back({NamedTensor::Role::kParam, "resets", std::move(resets)});
  }
  NamedTensors outputs = room_for(runner->outputs(inputs), filled);
  const auto tape =
      runner->forward(std::move(inputs), noise_weights(*runner), outputs, true, 1, nullptr);
  NamedTensors upstream;
  const HostTensor& y = outputs.front().tensor;
  upstream.push_back({NamedTensor::Role::kParam, "y", noise_tensor(y.shape, 40)});
  NamedTensors gradients = room_for(tape->gradients(), filled);
  tape->backward(std::move(upstream), gradients, nullptr);
  Numbers all = all_numbers(outputs);
  const Numbers back = all_numbers(gradients);
  all.insert(all.end(), back.begin(), back.end());
  return all;
}

TEST(results_are_written_whole_whatever_their_room_held) {
  for (const Case& c : cases()) {
    const Numbers clean = results_over(c, 0), over = results_over(c, 1e300);
    if (!(clean == over)) check::fail(c.kind, 0, "some of the room was not written");
  }
}

/// Its output is so large that it is written in pages of our own first.
TEST(a_large_result_is_that_of_its_rows) {
  constexpr int64_t kSteps = 33, kUnits = 512, kBatch = 70;
  static_assert(kBatch * kSteps * kUnits * int64_t{sizeof(double)} > int64_t{8} << 20);
  const auto runner = make_cell_runner("rnn", spec({{"inputSize", 1.0}, {"units", double{kUnits}}}),
                                       DType::kFloat64, DeviceKind::kCpu);
  const HostTensor x = noise_tensor({kBatch, kSteps, 1}, 1);
  const auto outputs_of = [&](int64_t first, int64_t rows, int threads) {
    const double* from = std::get<Buffer<double>>(x.data).data() + first * kSteps;
    NamedTensors inputs;
    inputs.push_back({NamedTensor::Role::kParam, "x",
                      copy_tensor<double>({rows, kSteps, 1}, from, "some rows")});
    NamedTensors outputs = room_for(runner->outputs(inputs));
    runner->forward(std::move(inputs), noise_weights(*runner), outputs, true, threads, nullptr);
    return numbers_of(outputs.front().tensor);
  };
  Numbers parts;
  for (int64_t first = 0; first < kBatch; first += 10) {
    const Numbers some = outputs_of(first, 10, 1);
    parts.insert(parts.end(), some.begin(), some.end());
  }
  for (const int threads : {1, 3}) CHECK(outputs_of(0, kBatch, threads) == parts);
}

TEST(room_that_does_not_fit_is_an_error) {
  const Case c = cases().front();
  const auto runner = make_cell_runner(c.kind, c.spec, DType::kFloat64, DeviceKind::kCpu);
  const auto call = [&](NamedTensors& room) {
    NamedTensors inputs;
    inputs.push_back({NamedTensor::Role::kParam, "x", noise_tensor({2, 5, 3}, 1)});
    runner->forward(std::move(inputs), noise_weights(*runner), room, false, 1, nullptr);
  };
  NamedTensors none;
  CHECK_THROWS(kShape, "there is no room for y, [2, 5, 4]", call(none));
  NamedTensors other = room_for({{"y", {2, 4, 4}, false}});
  CHECK_THROWS(kShape, "there is no room for y, [2, 5, 4]", call(other));
  NamedTensors floats;
  floats.push_back({NamedTensor::Role::kParam, "y", make_tensor<float>({2, 5, 4}, "y")});
  CHECK_THROWS(kShape, "room for y is of another number type", call(floats));
}

}  // namespace
}  // namespace lookback
