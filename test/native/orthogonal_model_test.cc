/// Cells whose matrices are made from parameters, inside a model: what settling between updates may
/// change and what not, checkpoints, weights that are never trained, and what goes wrong.
#include <cmath>

#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

using Options = std::vector<std::pair<std::string, Spec::Value>>;

std::string word(const char* text) { return text; }

std::unique_ptr<Engine> model(const char* kind, const Options& options,
                              DType dtype = DType::kFloat64) {
  Spec cell = spec({{"kind", word(kind)}, {"name", word("cell")}, {"units", 6.0}});
  if (std::string(kind) == "enrnn")
    cell = spec(
        {{"kind", word(kind)}, {"name", word("cell")}, {"longUnits", 4.0}, {"shortUnits", 5.0}});
  for (const auto& [key, value] : options) cell.set(key, value);
  auto made = engine({cell, dense(2)}, 3, dtype);
  made->compile(named("softmaxCrossEntropy"), spec({{"kind", word("adam")}}), {});
  return made;
}

int64_t add_data(Engine& to) {
  std::vector<int32_t> labels(12);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % 2);
  return to.add_data(noise_tensor({12, 5, 3}, 1), int_tensor(labels), {});
}

Numbers tensor(Engine& of, const std::string& name) {
  for (const NamedTensor& each : of.tensors())
    if (each.name == name) return numbers_of(each.tensor);
  check::fail(name.c_str(), 0, "no such tensor");
  return {};
}

void set(Engine& to, const std::string& name, const Numbers& numbers) {
  NamedTensors all = to.tensors();
  NamedTensors one;
  for (NamedTensor& each : all) {
    if (each.name != name) continue;
    each.tensor = copy_tensor(each.tensor.shape, numbers.data(), "numbers");
    one.push_back(std::move(each));
  }
  CHECK_EQUAL(one.size(), size_t{1});
  to.set_tensors(std::move(one));
}

double largest(const Numbers& numbers) {
  double most = 0;
  for (const double number : numbers) most = std::max(most, std::abs(number));
  return most;
}

/// A skew-symmetric matrix with entries up to `size`.
Numbers large_skew(int n, double size) {
  Numbers A(static_cast<size_t>(n * n));
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j) {
      A[static_cast<size_t>(i * n + j)] = size * noise(3, i * n + j);
      A[static_cast<size_t>(j * n + i)] = -A[static_cast<size_t>(i * n + j)];
    }
  }
  return A;
}

void check_near(const Numbers& a, const Numbers& b, double bound) {
  CHECK_EQUAL(a.size(), b.size());
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) CHECK_NEAR(a[i], b[i], bound);
}

TEST(rebase_keeps_the_matrix_and_follows_its_period) {
  const auto made = model("exprnn", {{"mode", word("dynamic")}, {"rebaseEvery", 2.0}});
  const int64_t data = add_data(*made);
  const Numbers before = numbers_of(made->predict(data, 12));
  const Numbers P = tensor(*made, "cell.P");
  CHECK(largest(P) > 0.05);
  train(*made, data, first_rows(12), 12, 0);  // rate 0: settling alone
  CHECK(largest(tensor(*made, "cell.P")) == 0);
  CHECK(tensor(*made, "cell.base")[1] != 0);
  check_near(numbers_of(made->predict(data, 12)), before, 1e-12);
  CHECK(tensor(*made, "cell.buf.rebase") == Numbers({1, 1, 0}));
  train(*made, data, first_rows(12), 12, 0.1);
  // The second update ends with a rebase.
  CHECK(largest(tensor(*made, "cell.P")) == 0);
  CHECK(tensor(*made, "cell.buf.rebase") == Numbers({2, 2, 1}));
  train(*made, data, first_rows(12), 12, 0.1);
  CHECK(largest(tensor(*made, "cell.P")) > 0);
}

TEST(static_base_never_moves) {
  const auto made = model("exprnn", {});
  const int64_t data = add_data(*made);
  const Numbers base = tensor(*made, "cell.base");
  for (int i = 0; i < 3; ++i) train(*made, data, first_rows(12), 4, 0.1);
  CHECK(tensor(*made, "cell.base") == base);
}

TEST(rebase_resets_the_memory_of_the_optimizer_where_wanted) {
  for (const bool reset : {false, true}) {
    const auto made = model(
        "exprnn", {{"mode", word("dynamic")}, {"rebaseEvery", 2.0}, {"resetOnRebase", reset}});
    const int64_t data = add_data(*made);
    train(*made, data, first_rows(12), 6, 0.1);  // two updates: the second rebases
    CHECK_EQUAL(largest(tensor(*made, "cell.P:firstMoment")) == 0, reset);
    CHECK(largest(tensor(*made, "cell.W_x:firstMoment")) > 0);
  }
}

TEST(resigning_keeps_the_matrix_and_tames_A) {
  const auto made = model("scornn", {{"resignAbove", 1.0}});
  const int64_t data = add_data(*made);
  set(*made, "cell.A", large_skew(6, 50));
  const Numbers before = numbers_of(made->predict(data, 12)), signs = tensor(*made, "cell.d");
  train(*made, data, first_rows(12), 12, 0);
  CHECK(largest(tensor(*made, "cell.A")) <= 1);
  CHECK(tensor(*made, "cell.d") != signs);
  check_near(numbers_of(made->predict(data, 12)), before, 1e-10);
  // Without the option A stays where it is.
  const auto plain = model("scornn", {});
  const int64_t same = add_data(*plain);
  set(*plain, "cell.A", large_skew(6, 50));
  train(*plain, same, first_rows(12), 12, 0);
  CHECK(tensor(*plain, "cell.A") == large_skew(6, 50));
}

TEST(A_stays_skew_and_signs_stay_signs) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    for (const char* kind : {"scornn", "enrnn"}) {
      const auto made = model(kind, {}, dtype);
      const int64_t data = add_data(*made);
      const Numbers signs = tensor(*made, "cell.d"), start = tensor(*made, "cell.A");
      for (int i = 0; i < 5; ++i) train(*made, data, first_rows(12), 5, 0.05);
      CHECK(tensor(*made, "cell.d") == signs);
      const Numbers A = tensor(*made, "cell.A");
      CHECK(A != start);
      const size_t n = signs.size();
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < n; ++j) CHECK(A[i * n + j] == -A[j * n + i]);
    }
  }
}

TEST(restored_runs_continue_to_the_bit) {
  const std::vector<std::pair<const char*, Options>> cells = {
      {"scornn", {{"resignAbove", 1.0}}},
      {"enrnn", {}},
      {"enrnn", {{"normMode", word("always")}, {"storage", word("packed")}}},
      {"exprnn", {{"mode", word("dynamic")}, {"rebaseEvery", 3.0}}},
      {"exprnn",
       {{"mode", word("dynamic")}, {"rebaseEvery", 2.0}, {"rebaseGradient", word("stale")}}},
      {"exprnn", {{"mode", word("dynamic")}, {"rebaseEvery", 0.0}, {"map", word("cayley")}}},
      {"scurnn", {}}};
  for (const auto& [kind, options] : cells) {
    const auto whole = model(kind, options, DType::kFloat32);
    const int64_t data = add_data(*whole);
    train(*whole, data, first_rows(12), 3, 0.1);
    NamedTensors kept = whole->tensors();
    const Counters counters = whole->counters();
    train(*whole, data, first_rows(12), 3, 0.1);
    const auto resumed = model(kind, options, DType::kFloat32);
    resumed->set_tensors(std::move(kept));
    resumed->set_counters(counters);
    train(*resumed, add_data(*resumed), first_rows(12), 3, 0.1);
    if (state_of(*resumed) != state_of(*whole))
      check::fail(kind, static_cast<int>(options.size()), "a restored run takes another path");
  }
}

TEST(normalisation_begins_during_training_and_is_kept) {
  const auto made = model("enrnn", {});
  const int64_t data = add_data(*made);
  CHECK(tensor(*made, "cell.buf.normActive") == Numbers({0}));
  Numbers T = tensor(*made, "cell.T");
  for (double& entry : T) entry *= 100;
  set(*made, "cell.T", T);
  made->predict(data, 12);  // a prediction decides nothing for ever
  CHECK(tensor(*made, "cell.buf.normActive") == Numbers({0}));
  train(*made, data, first_rows(12), 12, 0.01);
  CHECK(tensor(*made, "cell.buf.normActive") == Numbers({1}));
}

/// Largest |entry| off the 2 x 2 blocks along the diagonal.
double off_blocks(const Numbers& matrix, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      if (i / 2 != j / 2) most = std::max(most, std::abs(matrix[i * n + j]));
  return most;
}

TEST(matrices_start_as_their_papers_say) {
  constexpr double kPi = 3.14159265358979323846;
  for (const bool positive : {false, true}) {
    const auto made = model(
        "scornn", {{"initSign", word(positive ? "positive" : "negative")}, {"negatives", 2.0}});
    const Numbers A = tensor(*made, "cell.A");
    CHECK_EQUAL(off_blocks(A, 6), 0.0);
    for (size_t j = 0; j < 6; j += 2) {
      const double upper = A[j * 6 + j + 1];
      CHECK(positive ? upper > 0 : upper < 0);
      CHECK(std::abs(upper) <= 1);  // tan(pi / 4)
      CHECK(A[(j + 1) * 6 + j] == -upper);
    }
    CHECK(tensor(*made, "cell.d") == Numbers({1, 1, 1, 1, -1, -1}));
    CHECK(largest(tensor(*made, "cell.W_x")) <= 0.01);
    CHECK_EQUAL(largest(tensor(*made, "cell.b")), 0.0);
  }
  // The packed start is the same matrix.
  const Numbers full = tensor(*model("scornn", {}), "cell.A");
  const Numbers packed = tensor(*model("scornn", {{"storage", word("packed")}}), "cell.A_packed");
  size_t at = 0;
  for (size_t i = 0; i < 6; ++i)
    for (size_t j = i + 1; j < 6; ++j) CHECK(packed[at++] == full[i * 6 + j]);

  // Pairs share a gain, so the columns of a block of T are equally long; the last one stands alone.
  const Numbers T = tensor(*model("enrnn", {}), "cell.T");
  CHECK_EQUAL(off_blocks(T, 5), 0.0);
  for (size_t j = 0; j < 4; j += 2) {
    const double first = std::hypot(T[j * 5 + j], T[(j + 1) * 5 + j]),
                 second = std::hypot(T[j * 5 + j + 1], T[(j + 1) * 5 + j + 1]);
    CHECK_NEAR(first, second, 1e-15);
    CHECK(first < 1);
  }
  const Numbers shifted = tensor(*model("enrnn", {{"oddGain", word("first")}}), "cell.T");
  CHECK(std::abs(std::hypot(shifted[0], shifted[5]) - std::hypot(shifted[1], shifted[6])) > 1e-3);

  const Numbers P = tensor(*model("exprnn", {{"init", word("henaff")}}), "cell.P");
  CHECK(largest(P) <= kPi && largest(P) > 1);
  for (size_t i = 0; i < 6; ++i)
    for (size_t j = 0; j <= i; ++j) CHECK_EQUAL(P[i * 6 + j], 0.0);

  const auto complex = model("scurnn", {});
  for (const double phase : tensor(*complex, "cell.theta")) CHECK(phase >= 0 && phase < 2 * kPi);
  CHECK_EQUAL(largest(tensor(*complex, "cell.A_im")), 0.0);
  CHECK(largest(tensor(*complex, "cell.initial.h0")) <= 0.01);
  CHECK(largest(tensor(*complex, "cell.initial.h0")) > 0);
}

TEST(parameters_that_are_not_finite_are_named_and_the_model_goes_on) {
  const std::vector<std::pair<const char*, const char*>> cells = {
      {"scornn", "A"}, {"enrnn", "T"}, {"exprnn", "P"}, {"scurnn", "theta"}};
  for (const auto& [kind, name] : cells) {
    const auto made = model(kind, {});
    const int64_t data = add_data(*made);
    const std::string full = std::string("cell.") + name;
    const Numbers good = tensor(*made, full), before = numbers_of(made->predict(data, 12));
    Numbers bad = good;
    bad.back() = std::nan("");
    set(*made, full, bad);
    CHECK_THROWS(kNumeric, std::string("parameter ") + name + " holds nan",
                 made->predict(data, 12));
    CHECK_THROWS(kNumeric, name, train(*made, data, first_rows(12), 12, 0.1));
    set(*made, full, good);
    CHECK(numbers_of(made->predict(data, 12)) == before);
  }
}

TEST(matrices_of_the_wrong_form_are_refused) {
  const auto made = model("scornn", {});
  const int64_t data = add_data(*made);
  Numbers A = tensor(*made, "cell.A");
  A[1] += 0.25;
  set(*made, "cell.A", A);
  CHECK_THROWS(kData, "scornn: A is not skew-symmetric: entries [0, 1] and [1, 0]",
               made->predict(data, 12));
  const auto other = model("scornn", {});
  const int64_t same = add_data(*other);
  set(*other, "cell.d", {1, 1, 1, 0.5, -1, -1});
  CHECK_THROWS(kData, "d holds 0.5 at position 3; expected 1 or -1", other->predict(same, 12));
  const auto complex = model("scurnn", {});
  const int64_t third = add_data(*complex);
  Numbers Y(36);
  Y[2] = 1;
  set(*complex, "cell.A_im", Y);
  CHECK_THROWS(kData, "A_im is not symmetric: entries [0, 2] and [2, 0]",
               complex->predict(third, 12));
  const auto moved = model("exprnn", {});
  const int64_t fourth = add_data(*moved);
  set(*moved, "cell.base", Numbers(36, 0.5));
  CHECK_THROWS(kNumeric, "exprnn, matrix W: max|W^T W - I| is", moved->predict(fourth, 12));
}

}  // namespace
}  // namespace lookback
