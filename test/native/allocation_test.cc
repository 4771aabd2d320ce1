/// Memory that runs out: every request of every kind of call is refused once, and then every one
/// from there on. The call throws a typed error and leaves the model as it was; the same call then
/// ends with the bits of a model that never failed.
#include <functional>
#include <memory>
#include <optional>

#include "native/cell_runs.h"
#include "native/check.h"
#include "native/failing_memory.h"
#include "native/models.h"

namespace lookback {
namespace {

constexpr int64_t kRows = 5, kSteps = 4, kFeatures = 3;
constexpr int64_t kData = 1;  // the handle of the only data set

struct Subject {
  const char* name;
  std::vector<LayerSpec> layers;
  Spec optimizer = named("adam");
  int threads = 1;
  bool cut = false;  ///< rows of several lengths
  int64_t rows = kRows;
  int64_t steps = kSteps;
  int64_t words = 0;  ///< 0: x is noise; else one feature, whole numbers below
  /// Made before any request is refused: g++ destroys twice what a list in braces had made when one
  /// of its elements throws.
  Spec loss = named("softmaxCrossEntropy");
};

Spec cell(const char* kind, double units,
          const std::vector<std::pair<std::string, Spec::Value>>& more = {}) {
  Spec made = spec({{"kind", std::string(kind)}, {"units", units}});
  for (const auto& [key, value] : more) made.set(key, value);
  return made;
}

std::vector<LayerSpec> wrapped_layers() {
  return {cell("embedding", 8, {{"inputDim", 4.0}}),
          named("layerNorm"),
          {named("residual"), {lstm(8, true), dropout(0.2)}},
          {spec({{"kind", std::string("bidirectional")}, {"merge", std::string("concat")}}),
           {cell("gru", 4, {{"returnSequences", true}})}},
          spec({{"kind", std::string("pool")}, {"over", std::string("mean")}}),
          dense(3)};
}

std::unique_ptr<Engine> make(const Subject& of) {
  const int64_t features = of.words > 0 ? 1 : kFeatures;
  auto made = engine(of.layers, features, DType::kFloat32, of.threads);
  made->compile(of.loss, of.optimizer);
  std::vector<int32_t> labels, lengths;
  for (int64_t row = 0; row < of.rows; ++row) {
    labels.push_back(static_cast<int32_t>(row % 2));
    lengths.push_back(static_cast<int32_t>(1 + row % of.steps));
  }
  std::optional<std::vector<int32_t>> given;
  if (of.cut) given = lengths;
  HostTensor x = noise_tensor({of.rows, of.steps, features}, 1);
  auto& numbers = std::get<Buffer<double>>(x.data);
  for (int64_t i = 0; of.words > 0 && i < numbers.size(); ++i)
    numbers[i] = static_cast<double>(i % of.words);
  made->add_data(std::move(x), int_tensor(labels), given);
  return made;
}

/// Everything that a call may change.
struct State {
  Numbers numbers;
  int64_t updates, draws;
  explicit State(Engine& of)
      : numbers(state_of(of)), updates(of.counters().updates), draws(of.counters().draws) {}
  bool operator==(const State&) const = default;
};

using Call = std::function<void(Engine&)>;

/// Whether `call` ended with a typed error; the bridge makes ERR_MEMORY of the second kind as well.
bool ran_out(const char* name, int64_t request, const std::function<void()>& call) {
  try {
    call();
    return false;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kMemory) {
      check::fail(name, static_cast<int>(request),
                  text("threw ", error_code_name(error.code()), ": ", error.message()));
    }
  } catch (const std::bad_alloc&) {
  }
  return true;
}

/// Refuses request n of `call`, and `length - 1` after it; gives the number of its requests.
int64_t refuse_one(const char* name, int64_t n, const std::function<void()>& call,
                   int64_t length = 1, bool* failed = nullptr) {
  int64_t seen = 0;
  const bool threw = ran_out(name, n, [&] {
    const failing::Refusal refusal(n, length);
    struct Count {
      int64_t& seen;
      ~Count() { seen = failing::requests; }
    } const count{seen};
    call();
  });
  if (failed != nullptr) *failed = threw;
  return seen;
}

/// Refuses each request of a call that leaves nothing behind.
void refuse_until_done(const char* name, const std::function<void()>& call) {
  for (int64_t n = 1; refuse_one(name, n, call) >= n;) ++n;
}

/// Refuses request n of `call`, for every n that it makes, and `length - 1` after it. Gives their
/// number.
int64_t refuse_each(const Subject& subject, int64_t length, const Call& prepare, const Call& call) {
  const auto reference = make(subject);
  prepare(*reference);
  call(*reference);
  const State wanted(*reference);
  for (int64_t n = 1;; ++n) {
    const auto made = make(subject);
    prepare(*made);
    const State before(*made);
    bool failed = false;
    const int64_t seen = refuse_one(
        subject.name, n, [&] { call(*made); }, length, &failed);
    if (failed) {
      if (!(State(*made) == before))
        check::fail(subject.name, static_cast<int>(n), "a refused request changed the model");
      call(*made);
    }
    if (!(State(*made) == wanted))
      check::fail(subject.name, static_cast<int>(n), "other bits after a refused request");
    if (seen < n) return n - 1;
  }
}

void refuse_each(
    const Subject& subject, const Call& call, const Call& prepare = [](Engine&) {}) {
  CHECK(refuse_each(subject, 1, prepare, call) > 0);
  refuse_each(subject, failing::kNever, prepare, call);
}

void train_once(Engine& of, int64_t rows, const Continuing& continuing = {},
                int64_t accumulate = 1) {
  const std::vector<uint32_t> all = first_rows(static_cast<uint32_t>(rows));
  of.train(kData, {all.data(), rows, rows / accumulate, 0.01, continuing, accumulate}, nullptr);
}

void check_training(const Subject& subject) {
  refuse_each(subject, [&](Engine& of) { train_once(of, subject.rows); });
}

// ----------------------------------------------------------------------------------------------------

TEST(a_training_step_of_an_lstm) { check_training({"lstm", {lstm(4), dense(3)}}); }

TEST(a_training_step_of_a_larnn) {
  const Spec momentum = spec({{"kind", std::string("sgd")}, {"momentum", 0.9}, {"clipNorm", 1.0}});
  check_training(
      {"larnn", {cell("larnn", 6, {{"heads", 2.0}, {"window", 3.0}}), dense(3)}, momentum});
}

TEST(a_training_step_on_two_threads) {
  check_training(
      {"lstm on two", {lstm(24), dense(48, "tanh"), dense(3)}, named("adam"), 2, true, 40, 12});
}

/// Two wide layers on two threads: blocks large enough for pages of their own, workers that fail,
/// rows of several lengths.
TEST(a_training_step_of_every_kind_of_layer) {
  check_training({"wrapped", wrapped_layers(), named("adam"), 1, true, kRows, kSteps, 4});
}

TEST(a_training_step_of_every_cell) {
  check_training({"rnn", {cell("rnn", 4), dense(3)}});
  check_training({"bnlstm", {cell("bnlstm", 4, {{"tMax", 4.0}}), dense(3)}});
  check_training(
      {"larnn stack",
       {cell("larnn", 4, {{"heads", 2.0}, {"window", 3.0}, {"layers", 2.0}}), dense(3)}});
  check_training({"rra", {cell("rra", 4, {{"K", 3.0}}), dense(3)}});
  check_training({"scornn", {cell("scornn", 4), dense(3)}});
  check_training({"scurnn", {cell("scurnn", 4), dense(3)}});
  const Spec enrnn =
      spec({{"kind", std::string("enrnn")}, {"longUnits", 3.0}, {"shortUnits", 2.0}});
  check_training({"enrnn", {enrnn, dense(3)}});
  check_training({"exprnn", {cell("exprnn", 4), dense(3)}});
}

/// Every update ends with the matrix described anew, which may fail after the parameters have
/// moved: they and the optimizer's slots go back.
TEST(a_training_step_that_settles) {
  const Subject subject = {
      "exprnn dynamic",
      {cell("exprnn", 4, {{"mode", std::string("dynamic")}, {"rebaseEvery", 1.0}}), dense(3)}};
  const Call once = [](Engine& of) { train_once(of, kRows); };
  refuse_each(subject, once, once);
}

/// Requests of `steps` steps whose shape has been seen before.
int64_t requests_of(const Subject& of, int steps = 1) {
  const auto made = make(of);
  const std::vector<uint32_t> rows = first_rows(static_cast<uint32_t>(of.rows));
  const TrainCall call{rows.data(), of.rows, of.rows, 0.01};
  made->train(kData, call, nullptr);
  made->train(kData, call, nullptr);
  const failing::Refusal none(failing::kNever);
  for (int step = 0; step < steps; ++step) made->train(kData, call, nullptr);
  return failing::requests;
}

TEST(a_step_of_a_known_shape_asks_for_no_memory) {
  const Spec recurrent_dropout = cell("lstm", 4, {{"dropout", 0.1}, {"recurrentDropout", 0.1}});
  const std::vector<Subject> subjects = {
      {"lstm", {lstm(4), dense(3)}},
      {"lstm on two", {lstm(24), dense(48, "tanh"), dense(3)}, named("adam"), 2, true, 40, 12},
      {"dropout", {lstm(8, true), dropout(0.2), recurrent_dropout, dense(3)}},
      {"rnn", {cell("rnn", 4), dense(3)}},
      {"gru", {cell("gru", 4), dense(3)}},
      {"rra", {cell("rra", 4, {{"K", 3.0}}), dense(3)}},
      {"bnlstm", {cell("bnlstm", 4, {{"tMax", 4.0}}), dense(3)}},
      {"larnn", {cell("larnn", 4, {{"heads", 2.0}, {"window", 3.0}}), dense(3)}},
      {"larnn stack",
       {cell("larnn", 4, {{"heads", 2.0}, {"window", 3.0}, {"layers", 2.0}}), dense(3)}},
      {"wrapped", wrapped_layers(), named("adam"), 1, true, kRows, kSteps, 4},
      {"scornn", {cell("scornn", 70), dense(3)}},
      {"scornn packed", {cell("scornn", 6, {{"storage", std::string("packed")}}), dense(3)}},
      {"scurnn", {cell("scurnn", 50), dense(3)}},
      {"exprnn", {cell("exprnn", 70), dense(3)}},
      {"exprnn cayley", {cell("exprnn", 6, {{"map", std::string("cayley")}}), dense(3)}},
  };
  for (const Subject& subject : subjects) {
    const int64_t requests = requests_of(subject);
    if (requests != 0) check::fail(subject.name, 0, text(requests, " requests"));
  }
}

/// Once in twenty updates all eigenvalues of T are computed anew.
TEST(twenty_steps_of_enrnn_ask_for_no_memory) {
  for (const double units : {1.0, 2.0, 60.0}) {
    const Spec enrnn =
        spec({{"kind", std::string("enrnn")}, {"longUnits", 3.0}, {"shortUnits", units}});
    CHECK_EQUAL(requests_of({"enrnn", {enrnn, dense(3)}}, 20), int64_t{0});
  }
}

// ----------------------------------------------------------------------------------------------------

TEST(a_snapshot) {
  refuse_each({"snapshot", {lstm(4), dense(3)}}, [](Engine& of) { of.tensors(); });
}

TEST(a_prediction_and_an_evaluation) {
  const Subject subject = {"larnn",
                           {cell("larnn", 4, {{"heads", 2.0}, {"window", 3.0}}), dense(3)}};
  refuse_each(subject, [](Engine& of) { of.predict(kData, 2); });
  refuse_each(subject, [](Engine& of) { of.evaluate(kData, 2); });
}

/// The states that training goes on from are lent to other passes and come back.
TEST(passes_with_states) {
  const Subject subject = {"lstm", {lstm(4, true), lstm(4), dense(3)}, named("adam"), 1, false, 4};
  const Call stateful = [](Engine& of) { train_once(of, 4, {true, 0}); };
  const Call smaller = [](Engine& of) {
    const std::vector<uint32_t> rows = first_rows(2);
    of.train(kData, {rows.data(), 2, 2, 0.01, {true, 0}}, nullptr);
  };
  refuse_each(subject, stateful);
  refuse_each(subject, smaller, stateful);
  refuse_each(
      subject,
      [](Engine& of) {
        of.evaluate(kData, 2, {true, 0});
      },
      stateful);
  refuse_each(
      subject,
      [](Engine& of) {
        StateCall call;
        call.wanted = true;
        of.predict(kData, 3, &call);
        StateCall next;
        next.initial = std::move(call.final);
        of.predict(kData, 4, &next);
      },
      stateful);
}

/// The last call of the open loop may be tried again with the same gradients.
TEST(the_open_loop) {
  const Subject subject = {"lstm", {lstm(4), dense(3)}};
  const Call forward = [](Engine& of) {
    of.forward(noise_tensor({2, kSteps, kFeatures}, 3), std::vector<int32_t>{4, 2}, true);
  };
  const Call backward = [&](Engine& of) {
    forward(of);
    of.backward(noise_tensor({2, 3}, 4));
  };
  refuse_each(subject, forward);
  refuse_each(
      subject, [](Engine& of) { of.step(0.01); }, backward);
  refuse_each(
      subject, [](Engine& of) { of.step(0.01); }, backward);
}

TEST(tensors_that_are_set) {
  const Subject subject = {"lstm", {lstm(4), dense(3)}, named("adam"), 1, false, 4};
  const Call stateful = [](Engine& of) { train_once(of, 4, {true, 0}); };
  const auto other = make(subject);
  other->add_data(noise_tensor({2, kSteps, kFeatures}, 8), {}, {});
  train_once(*other, 4, {true, 0});
  train_once(*other, 4, {true, 0});
  refuse_each(
      subject, [&](Engine& of) { of.set_tensors(other->tensors()); }, stateful);
}

/// A stream is made whole or not at all, and goes on where its last step has ended.
TEST(a_stream) {
  const Subject subject = {"stream", {lstm(4, true), lstm(4), dense(3)}};
  const std::vector<float> x = {0.1f, 0.2f, 0.3f};
  const auto step = [&](Engine& of, int64_t stream) {
    std::vector<float> y(3);
    of.step_stream(stream, x.data(), y.data());
    return Numbers(y.begin(), y.end());
  };
  const auto reference = make(subject);
  const int64_t whole = reference->add_stream(1);
  const Numbers first = step(*reference, whole), second = step(*reference, whole);
  const auto made = make(subject);
  refuse_until_done("a stream", [&] { made->remove_stream(made->add_stream(1)); });
  std::vector<float> y(3);
  for (int64_t n = 1;; ++n) {
    const int64_t stream = made->add_stream(1);
    bool failed = false;
    const int64_t seen = refuse_one(
        "a step", n, [&] { made->step_stream(stream, x.data(), y.data()); }, 1, &failed);
    if (failed) CHECK(step(*made, stream) == first);
    CHECK(step(*made, stream) == second);
    made->remove_stream(stream);
    if (seen < n) break;
  }
}

/// The door of the cells: a runner whose call has failed serves the next.
TEST(a_cell_on_plain_tensors) {
  const auto runner = make_cell_runner(
      "larnn", spec({{"inputSize", 3.0}, {"units", 4.0}, {"heads", 2.0}, {"window", 3.0}}),
      DType::kFloat64, DeviceKind::kCpu);
  const auto call = [&] {
    NamedTensors inputs, upstream;
    inputs.push_back({NamedTensor::Role::kParam, "x", noise_tensor({2, 5, 3}, 1)});
    NamedTensors outputs = room_for(runner->outputs(inputs));
    const auto tape =
        runner->forward(std::move(inputs), noise_weights(*runner), outputs, true, 1, nullptr);
    upstream.push_back({NamedTensor::Role::kParam, "y", noise_tensor({2, 5, 4}, 40)});
    NamedTensors gradients = room_for(tape->gradients());
    tape->backward(std::move(upstream), gradients, nullptr);
    return all_numbers(gradients);
  };
  const Numbers wanted = call();
  for (int64_t n = 1;; ++n) {
    const int64_t seen = refuse_one("a cell", n, [&] { call(); });
    CHECK(call() == wanted);
    if (seen < n) break;
  }
}

TEST(a_model_and_its_data) {
  const Subject subject = {"lstm", {lstm(4), dense(3)}, named("adam"), 3};
  refuse_until_done("a model", [&] { make(subject); });
}

}  // namespace
}  // namespace lookback
