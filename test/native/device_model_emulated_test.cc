/// Whole models on a CUDA device whose kernels run on the host: trained beside the CPU, short
/// of memory, and after the device is lost.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "backend/cuda/blas.h"
#include "backend/cuda/device.h"
#include "backend/cuda/emulated_session.h"
#include "backend/cuda/launch_record.h"
#include "backend/cuda/library.h"
#include "backend/cuda/operation_list.h"
#include "backend/cuda/operations.h"
#include "native/check.h"
#include "native/models.h"
#include "native/step_by_step.h"

namespace lookback {
namespace {

std::unique_ptr<Engine> on(DeviceKind device, const std::vector<LayerSpec>& layers, int64_t inputs,
                           DType dtype = DType::kFloat64) {
  return engine(layers, inputs, dtype, 1, device);
}

Spec entry(Spec base, const char* key, const Spec::Value& value) {
  base.set(key, value);
  return base;
}

Spec adam(double clip_norm) {
  return spec({{"kind", std::string("adam")}, {"learningRate", 0.05}, {"clipNorm", clip_norm}});
}

constexpr int64_t kRows = 11, kSteps = 5, kInputs = 3;

int64_t add_labels(Engine& to, bool lengths) {
  std::vector<int32_t> y, valid;
  for (int32_t i = 0; i < kRows; ++i) {
    y.push_back(i % 4);
    valid.push_back(i % 6);
  }
  std::optional<std::vector<int32_t>> given;
  if (lengths) given = valid;
  return to.add_data(noise_tensor({kRows, kSteps, kInputs}, 5), int_tensor(y), given);
}

/// Differences of sums in another order, through a handful of updates: far below what a wrong
/// kernel makes, far above rounding. Float32 has 2^29 times the rounding of float64.
constexpr double kBound64 = 1e-11, kBound32 = 1e-3;

void check_close(const Numbers& actual, const Numbers& expected, double bound) {
  CHECK_EQUAL(actual.size(), expected.size());
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i)
    if (!check::near(actual[i], expected[i], bound)) {
      CHECK_NEAR(actual[i], expected[i], bound);
      return;
    }
}

/// Trains on both devices and compares everything that there is to compare.
void train_beside(const std::vector<LayerSpec>& layers, bool lengths,
                  const Spec& optimizer = adam(0.5)) {
  for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
    const double bound = dtype == DType::kFloat64 ? kBound64 : kBound32;
    Numbers states[2], outputs[2], gradients[2];
    Sums sums[2], evaluated[2];
    for (const int i : {0, 1}) {
      const auto model =
          on(i == 0 ? DeviceKind::kEmulated : DeviceKind::kCpu, layers, kInputs, dtype);
      const int64_t data = add_labels(*model, lengths);
      model->compile(named("softmaxCrossEntropy"), optimizer);
      const std::vector<uint32_t> rows = {3, 1, 10, 0, 7, 2, 2, 9, 4, 5, 6};
      sums[i] = train(*model, data, rows, 4, 1);
      evaluated[i] = model->evaluate(data, 4);
      outputs[i] = numbers_of(model->predict(data, 4));
      states[i] = state_of(*model);
      HostTensor y = model->forward(noise_tensor({2, kSteps, kInputs}, 8), {}, true);
      for (const double value : numbers_of(y)) outputs[i].push_back(value);
      for (const double value : numbers_of(model->backward(std::move(y))))
        gradients[i].push_back(value);
      for (const NamedTensor& each : model->gradients())
        for (const double value : numbers_of(each.tensor)) gradients[i].push_back(value);
    }
    CHECK_NEAR(sums[0].loss, sums[1].loss, bound * 11);
    CHECK_EQUAL(sums[0].hits, sums[1].hits);
    CHECK_NEAR(evaluated[0].loss, evaluated[1].loss, bound * 11);
    check_close(states[0], states[1], bound);
    check_close(outputs[0], outputs[1], bound);
    check_close(gradients[0], gradients[1], bound);
  }
}

TEST(a_plain_model_trains_as_on_the_cpu) {
  for (const bool lengths : {false, true})
    train_beside({lstm(6, true), dropout(0.4), lstm(5), dense(4, "tanh"), dense(4)}, lengths);
}

TEST(every_layer_trains_as_on_the_cpu) {
  const LayerSpec twice(entry(named("bidirectional"), "merge", std::string("sum")),
                        {lstm(4, true)});
  const LayerSpec apart(named("bidirectional"), {lstm(3, true)});
  const LayerSpec around(named("residual"), {dense(6, "elu"), dropout(0.2)});
  for (const bool lengths : {false, true}) {
    for (const char* over : {"last", "mean", "max"}) {
      train_beside({twice, apart, named("layerNorm"), around, dense(5, "relu"),
                    entry(named("pool"), "over", std::string(over)), dense(4, "softmax")},
                   lengths);
    }
  }
}

/// By plain steps: batch norm leaves some gradients at rounding noise around 0, which Adam would
/// turn into whole steps.
TEST(orthogonal_cells_and_batch_statistics_train_as_on_the_cpu) {
  train_beside({entry(entry(lstm(8), "kind", std::string("scornn")), "returnSequences", true),
                entry(entry(lstm(4), "kind", std::string("bnlstm")), "tMax", 5.0), dense(4)},
               false, spec({{"kind", std::string("sgd")}, {"learningRate", 0.05}}));
}

TEST(launches_of_a_pass_that_repeats_are_recorded) {
  const Numbers expected = trained_step_by_step(DeviceKind::kCpu);
  const int64_t before = emulated_replays();
  const Numbers recorded = trained_step_by_step(DeviceKind::kEmulated);
  // Of two layers, forward and backward, all updates but the first of each size of batch.
  CHECK(emulated_replays() - before >= 4 * 4);
  check_close(recorded, expected, kBound64);
  // The same bits as launch by launch.
  emulated_refuse_records(true);
  const int64_t replayed = emulated_replays();
  const Numbers direct = trained_step_by_step(DeviceKind::kEmulated);
  emulated_refuse_records(false);
  CHECK_EQUAL(emulated_replays(), replayed);
  check_close(direct, recorded, 0);
}

/// What the host makes for them in every update gives no memory back.
TEST(cells_that_the_host_prepares_are_recorded_too) {
  const StepByStep driver;
  const Spec enrnn =
      spec({{"kind", std::string("enrnn")}, {"longUnits", 4.0}, {"shortUnits", 2.0}});
  const Spec rra = spec({{"kind", std::string("rra")}, {"units", 4.0}, {"K", 3.0}});
  for (const Spec& cell : {enrnn, rra}) {
    Numbers states[2];
    const int64_t before = emulated_replays();
    for (const int i : {0, 1}) {
      const auto model =
          on(i == 0 ? DeviceKind::kEmulated : DeviceKind::kCpu, {cell, dense(4)}, kInputs);
      const int64_t data = add_labels(*model, false);
      model->compile(named("softmaxCrossEntropy"),
                     spec({{"kind", std::string("sgd")}, {"learningRate", 0.05}}));
      for (int epoch = 0; epoch < 3; ++epoch) train(*model, data, first_rows(8), 4, 1);
      states[i] = state_of(*model);
    }
    // Of six updates, forward and backward, the second to the last.
    CHECK_EQUAL(emulated_replays() - before, int64_t{2 * 5});
    check_close(states[0], states[1], kBound64);
  }
}

TEST(a_record_is_made_anew_where_memory_was_given_back) {
  CudaDevice device(emulated_cuda_table());
  LaunchRecord record(device);
  Buffer<double> numbers(4, "numbers", device);
  double added = 1;
  int launched = 0;
  const auto run = [&] {
    record.run(&added, sizeof added, [&] {
      ++launched;
      device.launch<double>(FillOp<double>::kId, FillOp<double>{4, added, numbers.data()});
    });
  };
  const auto check_filled = [&](double value) {
    double out[4];
    device.copy_out(numbers.data(), 4, out);
    for (const double number : out) CHECK_EQUAL(number, value);
  };
  const int64_t before = emulated_replays();
  run();  // launches
  run();  // records
  run();
  CHECK_EQUAL(launched, 2);
  CHECK_EQUAL(emulated_replays() - before, int64_t{2});
  check_filled(1);
  added = 2;
  run();
  check_filled(2);
  run();
  CHECK_EQUAL(launched, 4);
  // Where it lies now the record does not know.
  numbers.clear();
  numbers.ensure(400, "numbers");
  run();
  check_filled(2);
  CHECK_EQUAL(launched, 5);
}

TEST(nothing_is_allocated_or_copied_into_a_record) {
  CudaDevice device(emulated_cuda_table());
  LaunchRecord record(device);
  const int argument = 1;
  int launched = 0;
  const auto run = [&] {
    record.run(&argument, sizeof argument, [&] {
      ++launched;
      const Buffer<double> scratch(4, "scratch", device);
      device.wait();
    });
  };
  run();
  run();  // cannot be recorded, and so is made after all
  CHECK_EQUAL(launched, 3);
  device.begin_record();
  CHECK_THROWS(kDevice, "not while launches are recorded", device.wait());
  CHECK_THROWS(kDevice, "not while launches are recorded", Buffer<double>(4, "scratch", device));
  device.abandon_record();
  device.wait();
}

TEST(an_embedding_reads_from_the_device) {
  Numbers states[2];
  for (const int i : {0, 1}) {
    const auto model =
        on(i == 0 ? DeviceKind::kEmulated : DeviceKind::kCpu,
           {spec({{"kind", std::string("embedding")}, {"inputDim", 7.0}, {"units", 3.0}}), lstm(4),
            dense(2)},
           1);
    HostTensor x = make_tensor<double>({5, 3, 1}, "x");
    auto& numbers = std::get<Buffer<double>>(x.data);
    for (int64_t k = 0; k < numbers.size(); ++k) numbers[k] = static_cast<double>(k % 7);
    HostTensor bad = copy_of(x);
    std::get<Buffer<double>>(bad.data)[4] = 7;
    const int64_t data = model->add_data(std::move(x), noise_tensor({5, 2}, 3), {});
    const int64_t wrong = model->add_data(std::move(bad), noise_tensor({5, 2}, 3), {});
    model->compile(named("meanSquaredError"), adam(0));
    CHECK_THROWS(kData, "reads 7 at row 1 of the batch, step 1",
                 train(*model, wrong, first_rows(5), 5, 1));
    train(*model, data, first_rows(5), 2, 1);
    states[i] = state_of(*model);
  }
  check_close(states[0], states[1], kBound64);
}

/// Out of a pass to the states it was given and into it from those it gave. One step leaves the
/// queue of LARNN with fewer entries than its window.
TEST(gradients_go_through_states_as_on_the_cpu) {
  const Spec larnn = spec({{"kind", std::string("larnn")},
                           {"units", 4.0},
                           {"heads", 2.0},
                           {"window", 4.0},
                           {"layers", 2.0},
                           {"stacking", std::string("stack")},
                           {"normalization", std::string("none")},
                           {"returnSequences", true}});
  Numbers gradients[2];
  for (const int i : {0, 1}) {
    const auto model = on(i == 0 ? DeviceKind::kEmulated : DeviceKind::kCpu,
                          {lstm(5, true), larnn, dense(4)}, kInputs);
    StateCall start, pass, back;
    start.wanted = pass.wanted = back.wanted = true;
    model->forward(noise_tensor({3, 1, kInputs}, 5), {}, false, &start);
    pass.initial = std::move(start.final);
    HostTensor y = model->forward(noise_tensor({3, kSteps, kInputs}, 8), {}, true, &pass);
    std::erase_if(pass.final, [](const NamedTensor& state) {
      return state.name.find("queue_count") != std::string::npos;
    });
    back.initial = std::move(pass.final);
    gradients[i] = numbers_of(model->backward(std::move(y), &back));
    CHECK_EQUAL(back.final.size(), size_t{4});
    for (const NamedTensor& each : back.final)
      for (const double value : numbers_of(each.tensor)) gradients[i].push_back(value);
  }
  check_close(gradients[0], gradients[1], kBound64);
}

TEST(weights_lengths_and_holes_count_as_on_the_cpu) {
  Sums sums[2];
  for (const int i : {0, 1}) {
    const auto model =
        on(i == 0 ? DeviceKind::kEmulated : DeviceKind::kCpu, {lstm(4, true), dense(2)}, kInputs);
    HostTensor y = noise_tensor({kRows, kSteps, 2}, 4), weights = noise_tensor({kRows, kSteps}, 6);
    std::get<Buffer<double>>(y.data)[9] = std::numeric_limits<double>::quiet_NaN();
    auto& numbers = std::get<Buffer<double>>(weights.data);
    for (int64_t k = 0; k < numbers.size(); ++k) numbers[k] = std::abs(numbers[k]);
    std::vector<int32_t> lengths;
    for (int32_t k = 0; k < kRows; ++k) lengths.push_back(k % 6);
    model->compile(spec({{"kind", std::string("meanSquaredError")}, {"skipNaN", true}}), adam(0));
    const int64_t data = model->add_data(noise_tensor({kRows, kSteps, kInputs}, 5), std::move(y),
                                         lengths, std::move(weights));
    sums[i] = train(*model, data, first_rows(kRows), 4, 1);
  }
  CHECK_NEAR(sums[0].loss, sums[1].loss, kBound64);
  CHECK_NEAR(sums[0].weight, sums[1].weight, kBound64);
  CHECK_NEAR(sums[0].count, sums[1].count, kBound64);
}

TEST(a_stream_equals_the_batch) {
  const auto model = on(DeviceKind::kEmulated, {lstm(5, true), dense(3)}, kInputs);
  HostTensor x = noise_tensor({2, kSteps, kInputs}, 5);
  const Numbers steps = numbers_of(x), whole = numbers_of(model->forward(std::move(x), {}, false));
  const int64_t stream = model->add_stream(2);
  for (int64_t t = 0; t < kSteps; ++t) {
    double in[2 * kInputs], out[6];
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t j = 0; j < kInputs; ++j)
        in[b * kInputs + j] = steps[static_cast<size_t>((b * kSteps + t) * kInputs + j)];
    model->step_stream(stream, in, out);
    if (t == 2) model->set_stream_state(stream, model->stream_state(stream));
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t j = 0; j < 3; ++j)
        CHECK_EQUAL(out[b * 3 + j], whole[static_cast<size_t>((b * kSteps + t) * 3 + j)]);
  }
}

void fail_each_allocation(const std::vector<LayerSpec>& layers) {
  const auto reference = on(DeviceKind::kEmulated, layers, kInputs);
  const auto exercise = [](Engine& model, int64_t& data) {
    if (data < 0) {
      model.compile(named("softmaxCrossEntropy"), adam(1));
      data = add_labels(model, true);
    }
    train(model, data, first_rows(4), 4, 1);
  };
  int64_t reference_data = -1;
  exercise(*reference, reference_data);
  const Numbers expected = state_of(*reference);
  int failures = 0;
  for (int64_t n = 0; n < 200; ++n) {
    emulated_fail_allocation(n);
    std::unique_ptr<Engine> model;
    int64_t data = -1;
    bool failed = false;
    try {
      model = on(DeviceKind::kEmulated, layers, kInputs);
      exercise(*model, data);
    } catch (const Error& error) {
      failed = true;
      CHECK(error.code() == ErrorCode::kMemory);
      CHECK(error.message().find("bytes are needed on the device and") != std::string::npos);
    }
    emulated_fail_allocation(-1);
    if (!failed) break;
    ++failures;
    // What failed goes on as if nothing had been.
    if (!model) continue;
    exercise(*model, data);
    check_close(state_of(*model), expected, 0);
  }
  CHECK(failures > 20);
  CHECK(failures < 200);
}

TEST(any_allocation_may_fail_and_the_model_stays_usable) {
  fail_each_allocation({lstm(4, true), dropout(0.3), lstm(3), dense(4)});
}

TEST(any_allocation_of_an_orthogonal_cell_may_fail) {
  const Spec cayley = entry(lstm(4, true), "kind", std::string("scornn"));
  fail_each_allocation({cayley, entry(lstm(3), "kind", std::string("exprnn")), dense(4)});
}

TEST(a_lost_device_is_said_so) {
  const auto model = on(DeviceKind::kEmulated, {lstm(4), dense(4)}, kInputs);
  const int64_t data = add_labels(*model, false);
  model->compile(named("softmaxCrossEntropy"), adam(0));
  emulated_lose_device(true);
  CHECK_THROWS(kDevice, "is lost", train(*model, data, first_rows(4), 4, 1));
  CHECK_THROWS(kDevice, "is lost", on(DeviceKind::kEmulated, {dense(2)}, kInputs));
  emulated_lose_device(false);
}

TEST(a_cancelled_job_stops_and_the_model_stays_usable) {
  const auto model = on(DeviceKind::kEmulated, {lstm(4), dense(4)}, kInputs);
  const int64_t data = add_labels(*model, false);
  model->compile(named("softmaxCrossEntropy"), adam(0));
  const Numbers before = state_of(*model);
  std::atomic<bool> cancel{true};
  model->set_cancel(&cancel);
  CHECK_THROWS(kAborted, "cancelled", train(*model, data, first_rows(4), 4, 1));
  model->set_cancel(nullptr);
  check_close(state_of(*model), before, 0);
  train(*model, data, first_rows(4), 4, 1);
}

/// The signal that ends a child in which `body` runs; 0 where none does.
[[maybe_unused]] int signal_of(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/// ThreadSanitizer watches it. The first step of training looks for cuBLAS meanwhile.
TEST(explain_disturbs_no_call_that_runs) {
  // One that has clusters to be counted.
  const LayerSpec cell = entry(entry(lstm(4), "kind", std::string("bnlstm")), "tMax", 5.0);
  const auto model = on(DeviceKind::kEmulated, {cell, dense(4)}, kInputs);
  const int64_t data = add_labels(*model, false);
  model->compile(named("softmaxCrossEntropy"), adam(0.5));
  blas_least() = 1;
  const PlanCall beside = {4, kSteps, true, {}, true};
  const auto text_of = [&](const PlanCall& call) { return model->explain(call).front().text; };
  const std::string unknown = text_of(beside);
  CHECK(unknown.find("; products over all steps: cuBLAS is looked for") != std::string::npos);
  std::atomic<bool> ended{false};
  std::string last;
  std::thread asking([&] {
    do last = text_of(beside);
    while (!ended.load());
  });
  train(*model, data, first_rows(8), 4, 1);
  const std::string known = text_of(beside);
  ended.store(true);
  asking.join();
  CHECK(known != unknown);
  CHECK(last == unknown || last == known);
  CHECK_EQUAL(text_of({4, kSteps, true, {}}), known);
  blas_least() = kBlasLeast;
}

TEST(the_host_cannot_follow_a_pointer_of_the_device) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::cout << "a sanitizer has the signals\n";
#else
  CudaDevice device(emulated_cuda_table());
  Buffer<float> numbers(10, "numbers", device);
  CHECK_EQUAL(signal_of([] {}), 0);
  CHECK_EQUAL(signal_of([&] { _exit(numbers[3] > 0 ? 1 : 0); }), SIGSEGV);
  CHECK_EQUAL(signal_of([&] { numbers[3] = 1; }), SIGSEGV);
#endif
}

TEST(what_is_written_behind_a_block_of_the_device_is_noticed) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CudaDevice device(emulated_cuda_table());
  CHECK_EQUAL(signal_of([&] {
                const float one = 1;
                Buffer<float> numbers(10, "numbers", device);
                device.copy_in(&one, 1, numbers.data() + 10);
              }),
              SIGABRT);
#endif
}

TEST(a_table_of_another_build_is_refused) {
  require_cuda_table(&emulated_cuda_table(), "it");
  CHECK_THROWS(kDevice, "gives no table", require_cuda_table(nullptr, "it"));
  for (const int field : {0, 1, 2}) {
    CudaTable other = emulated_cuda_table();
    if (field == 0) other.version = 99;
    if (field == 1) other.bytes -= 8;
    if (field == 2) other.layout ^= 1;
    const char* const difference = field == 0 ? "its version is 99" : "of the same version";
    CHECK_THROWS(kDevice, difference, require_cuda_table(&other, "it"));
  }
}

TEST(an_absent_or_foreign_library_is_said_so) {
  CHECK_THROWS(kDevice, "is not built", load_cuda_table("/nowhere/lookback_cuda.so"));
  CHECK_THROWS(kDevice, "does not load", load_cuda_table("/etc/passwd"));
  Dl_info info = {};
  CHECK(dladdr(dlsym(RTLD_DEFAULT, "dlopen"), &info) != 0);
  CHECK_THROWS(kDevice, "is of another build", load_cuda_table(info.dli_fname));
}

}  // namespace
}  // namespace lookback
