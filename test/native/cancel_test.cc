/// How much is still done between a cancelled job's last look at its flag and the next, counted in
/// work and not in time; and what the job leaves behind.
#include "backend/cpu/cancel.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#include "backend/cell_host.h"
#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/pieces.h"
#include "native/cell_runs.h"
#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

TEST(work_in_pieces_ends_with_the_piece_at_hand) {
  for (const int threads : {1, 3}) {
    CpuRuntime runtime(threads);
    std::atomic<bool> cancel{false};
    std::atomic<int> ran{0};
    bool again = false;
    runtime.cancel = &cancel;
    const auto piece = [&](int64_t, int64_t, int64_t) {
      const int number = ++ran;
      if (number == 5) cancel = true;
      while (number > 5 && !again && !cancel) std::this_thread::yield();
    };
    CHECK_THROWS(kAborted, "cancelled", for_pieces(runtime, 100 * kPiece, kPiece, piece));
    // The others may be about to begin a piece: one each.
    CHECK(ran >= 5 && ran <= 5 + threads - 1);
    cancel = false;
    again = true;
    ran = 10;
    for_pieces(runtime, 100 * kPiece, kPiece, piece);
    CHECK_EQUAL(ran.load(), 110);
  }
}

/// Layers of 8192 units, their weight gradients over a hundred thousand rows, a squared matrix of
/// an orthogonal cell.
TEST(a_part_of_a_product_is_a_few_milliseconds_of_one_thread) {
  struct Shape {
    int64_t m, n, k;
  };
  for (const Shape& shape : {Shape{102400, 8192, 8192},
                             {8192, 8192, 102400},
                             {8192, 64, 102400},
                             {4096, 4096, 4096},
                             {1, 8192, 8192},
                             {3, 2, 1}}) {
    for (const int threads : {1, 2, 64}) {
      Gemm<float> g;
      g.m = shape.m, g.n = shape.n, g.k = shape.k;
      const GemmPart part = gemm_part(g, threads);
      const int64_t work = std::min(part.rows, g.m) * std::min(part.columns, g.n) * g.k;
      CHECK(work / threads <= 420'000'000);
      // And no smaller than pays for handing it out, where there is so much.
      CHECK(part.rows >= 64 && part.columns >= 64 * threads);
    }
  }
}

TEST(a_product_in_parts_has_the_bits_of_the_whole) {
  constexpr int64_t kRows = 70, kColumns = 150, kDepth = 50001;
  std::vector<float> a(kRows * kDepth), b(kDepth * kColumns);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 19) / 7 - 1;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 23) / 9 - 1;
  CpuRuntime runtime(1);
  const auto product = [&](bool parts) {
    std::vector<float> c(kRows * kColumns, 0.5f);
    Gemm<float> g;
    g.m = kRows, g.n = kColumns, g.k = kDepth;
    g.a = a.data(), g.a_row = kDepth;
    g.b = b.data(), g.b_row = 1, g.b_col = kDepth;  // transposed
    g.beta = 1, g.c = c.data(), g.c_row = kColumns;
    const GemmPart size = gemm_part(g, 1);
    CHECK(size.rows < kRows && size.columns < kColumns);
    if (parts) {
      gemm_in_parts(g, runtime);
    } else {
      cpu_gemm(g, runtime.pool);
    }
    return c;
  };
  CHECK(product(true) == product(false));
  const std::atomic<bool> cancel{true};
  runtime.cancel = &cancel;
  CHECK_THROWS(kAborted, "cancelled", product(true));
}

/// A layer so large that the product of a single step is computed in parts.
TEST(a_step_of_a_large_layer_in_parts_is_the_whole) {
  constexpr int64_t kUnits = 1024, kInputs = 4, kBatch = 2, kGates = 4;
  static_assert(kGates * kUnits * (kUnits + kInputs) > int64_t{1} << 22);
  const auto runner =
      make_cell_runner("lstm", spec({{"inputSize", double{kInputs}}, {"units", double{kUnits}}}),
                       DType::kFloat64, DeviceKind::kCpu);
  NamedTensors inputs, weights;
  const auto give = [](NamedTensors& to, const char* name, std::vector<int64_t> shape,
                       uint32_t stream) {
    HostTensor tensor = noise_tensor(std::move(shape), stream);
    Numbers numbers = numbers_of(tensor);
    to.push_back({NamedTensor::Role::kParam, name, std::move(tensor)});
    return numbers;
  };
  const Numbers x = give(inputs, "x", {kBatch, 1, kInputs}, 1);
  const Numbers h = give(inputs, "h0", {kBatch, kUnits}, 2);
  const Numbers c = give(inputs, "c0", {kBatch, kUnits}, 3);
  const Numbers W = give(weights, "W_x", {kGates * kUnits, kInputs}, 4);
  const Numbers R = give(weights, "W_h", {kGates * kUnits, kUnits}, 5);
  const Numbers b = give(weights, "b_x", {kGates * kUnits}, 6);
  const Numbers b_h = give(weights, "b_h", {kGates * kUnits}, 7);
  NamedTensors outputs = room_for(runner->outputs(inputs));
  runner->forward(std::move(inputs), std::move(weights), outputs, false, 1, nullptr);
  const Numbers y = numbers_of(outputs.front().tensor);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  for (int64_t row = 0; row < kBatch; ++row) {
    for (int64_t unit = 0; unit < kUnits; ++unit) {
      double gate[kGates];
      for (int64_t g = 0; g < kGates; ++g) {
        const int64_t o = g * kUnits + unit;
        double sum = b[at(o)] + b_h[at(o)];
        for (int64_t k = 0; k < kInputs; ++k)
          sum += W[at(o * kInputs + k)] * x[at(row * kInputs + k)];
        for (int64_t k = 0; k < kUnits; ++k) sum += R[at(o * kUnits + k)] * h[at(row * kUnits + k)];
        gate[g] = sum;
      }
      const double cell =
          sigmoid(gate[1]) * c[at(row * kUnits + unit)] + sigmoid(gate[0]) * std::tanh(gate[2]);
      // Sums of a thousand products below 1: their roundings stay below 1e-12.
      CHECK_NEAR(y[at(row * kUnits + unit)], sigmoid(gate[3]) * std::tanh(cell), 1e-11);
    }
  }
}

/// Memory that nobody has touched yet may take as long to come as the numbers that it is for: the
/// first step of every tile of a large batch together took a third of a second.
TEST(a_cancelled_pass_touches_no_further_tile) {
  constexpr int64_t kUnits = 5, kInputs = 2, kBatch = 100, kSteps = 3;
  CpuRuntime runtime(2);
  const Spec sizes = spec({{"inputSize", double{kInputs}}, {"units", double{kUnits}}});
  CellRecurrence<float> cell(runtime, cpu_kernels<float>(), instantiate_cell("lstm", sizes));
  const auto tape = cell.make_tape(kBatch, kSteps, true);
  const std::vector<float> x(kBatch * kSteps * kInputs, 1), ones(kBatch * kUnits, 1);
  std::vector<std::vector<float>> params;
  ForwardCall<float> call;
  call.batch = kBatch;
  call.steps = kSteps;
  call.inputs["x"] = {x.data(), {kBatch, kSteps, kInputs}};
  call.inputs["h0"] = {ones.data(), {kBatch, kUnits}};
  call.inputs["c0"] = {ones.data(), {kBatch, kUnits}};
  for (const ParamInfo& param : cell.info().params)
    params.emplace_back(static_cast<size_t>(element_count(param.shape, "a weight")), 0.5f);
  for (const std::vector<float>& param : params) call.params.push_back(param.data());
  const auto touched = [&tape] {
    const AlignedArray<float>& storage = static_cast<CellTape<float>&>(*tape).storage;
    return std::any_of(storage.data(), storage.data() + storage.size(),
                       [](float number) { return number != 0; });
  };
  // Packing the weights looks at the flag as well: it is made before.
  call.version = 1;
  const auto other = cell.make_tape(kBatch, kSteps, true);
  cell.forward(call, *other);
  CHECK(!touched());
  const std::atomic<bool> cancel{true};
  runtime.cancel = &cancel;
  CHECK_THROWS(kAborted, "cancelled", cell.forward(call, *tape));
  CHECK(!touched());
  runtime.cancel = nullptr;
  cell.forward(call, *tape);
  CHECK(touched());
}

/// Threads that wait for each other in every step: whoever sees the flag lets the others go, at
/// whatever point of a step they are. Three, but not more than there are processors: each meeting
/// would take as long as the system lets whatever else runs keep one.
TEST(threads_that_share_a_row_are_cancelled_together) {
  constexpr int64_t kUnits = 48, kInputs = 2, kSteps = 8000;
  CpuRuntime runtime(std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 2, 3));
  runtime.member_weights = 1;
  const Spec sizes = spec({{"inputSize", double{kInputs}}, {"units", double{kUnits}}});
  CellRecurrence<float> cell(runtime, cpu_kernels<float>(), instantiate_cell("lstm", sizes));
  const auto tape = cell.make_tape(1, kSteps, true);
  const std::vector<float> x(kSteps * kInputs, 0.25f), dy(kSteps * kUnits, 0.5f);
  std::vector<std::vector<float>> params, d_params;
  ForwardCall<float> call;
  call.batch = 1;
  call.steps = kSteps;
  call.inputs["x"] = {x.data(), {1, kSteps, kInputs}};
  for (const ParamInfo& param : cell.info().params) {
    params.emplace_back(static_cast<size_t>(element_count(param.shape, "a weight")), 0.1f);
    d_params.emplace_back(params.back().size(), 0.0f);
  }
  BackwardCall<float> back;
  back.upstream["y"] = {dy.data(), {1, kSteps, kUnits}};
  for (size_t i = 0; i < params.size(); ++i) {
    call.params.push_back(params[i].data());
    back.d_params.push_back(d_params[i].data());
  }
  std::atomic<bool> cancel{true};
  runtime.cancel = &cancel;
  CHECK_THROWS(kAborted, "cancelled", cell.forward(call, *tape));
  for (int round = 0; round < 5; ++round) {
    const auto cancelled_soon = [&](const auto& pass) {
      std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::microseconds(200 * round));
        cancel = true;
      });
      CHECK_THROWS(kAborted, "cancelled", pass());
      other.join();
      cancel = false;
    };
    cancel = false;
    cancelled_soon([&] { cell.forward(call, *tape); });
    cell.forward(call, *tape);
    cancelled_soon([&] { cell.backward(back, *tape); });
  }
  cell.forward(call, *tape);
  cell.backward(back, *tape);
  CHECK(std::isfinite(d_params.front().front()) && d_params.front().front() != 0);
}

TEST(a_cancelled_update_has_not_been) {
  const auto make = [] {
    auto made = engine({lstm(6), dense(2)}, 3);
    made->compile(named("softmaxCrossEntropy"), named("adam"));
    made->forward(noise_tensor({4, 5, 3}, 1), {}, true);
    made->backward(noise_tensor({4, 2}, 2));
    return made;
  };
  const auto reference = make();
  reference->step(0.1);
  const auto made = make();
  const Numbers before = state_of(*made);
  const std::atomic<bool> cancel{true};
  made->set_cancel(&cancel);
  CHECK_THROWS(kAborted, "cancelled", made->step(0.1));
  CHECK(state_of(*made) == before);
  CHECK_EQUAL(made->counters().updates, int64_t{0});
  made->set_cancel(nullptr);
  made->step(0.1);
  CHECK(state_of(*made) == state_of(*reference));
}

}  // namespace
}  // namespace lookback
