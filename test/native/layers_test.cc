/// Layers beside the cells and dense ones: their gradients, what they compute, and that padding and
/// threads change nothing.
#include "native/check.h"
#include "native/model_gradients.h"
#include "native/models.h"

namespace lookback {
namespace {

Spec layer(const char* kind, std::vector<std::pair<std::string, Spec::Value>> more = {}) {
  more.emplace_back("kind", std::string(kind));
  return spec(more);
}

Spec pool(const char* over) { return layer("pool", {{"over", std::string(over)}}); }
Spec backwards(Spec of) {
  of.set("goBackwards", true);
  return of;
}
LayerSpec bidirectional(const Spec& of, const char* merge) {
  return {layer("bidirectional", {{"merge", std::string(merge)}}), {of}};
}
LayerSpec residual(std::vector<LayerSpec> inside) { return {layer("residual"), std::move(inside)}; }

const std::vector<int32_t> kLengths = {4, 1, 0, 3};

void check_both(const std::vector<LayerSpec>& layers) {
  check_gradients(layers, {4, 4, 2}, {});
  check_gradients(layers, {4, 4, 2}, kLengths);
}

TEST(gradients_of_layer_norm) {
  check_both({dense(3), layer("layerNorm"), dense(2)});
  check_both({lstm(3), layer("layerNorm", {{"epsilon", 0.1}}), dense(2)});
}

TEST(gradients_of_pooling) {
  for (const char* over : {"last", "mean", "max"})
    check_both({lstm(3, true), pool(over), dense(2)});
}

TEST(gradients_backwards) {
  check_both({backwards(lstm(3, true)), dense(2)});
  check_both({dense(3), backwards(lstm(3)), dense(2)});
}

TEST(gradients_of_both_directions) {
  for (const char* merge : {"concat", "sum"}) {
    check_both({bidirectional(lstm(3, true), merge), bidirectional(lstm(2), merge), dense(2)});
  }
}

TEST(gradients_of_residual_layers) {
  check_both({dense(3), residual({lstm(3, true)}), residual({dense(4, "tanh"), dense(3)})});
  check_both({residual({dense(2)}), lstm(3), residual({dense(3, "tanh")})});
  check_both({residual({bidirectional(lstm(1, true), "concat"), residual({dense(2, "tanh")})})});
}

TEST(gradients_through_dropout_inside) {
  check_both({dense(3), residual({lstm(3, true), dropout(0.4)}), lstm(2)});
}

HostTensor tokens(int64_t rows, int64_t steps, int32_t count) {
  HostTensor x = make_tensor<double>({rows, steps, 1}, "tokens");
  auto& numbers = std::get<Buffer<double>>(x.data);
  for (int64_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i * i % count);
  return x;
}

Spec embedding(double rows, double units) {
  return layer("embedding", {{"inputDim", rows}, {"units", units}});
}

TEST(an_embedding_gives_rows_and_sums_their_gradients) {
  const auto made = engine({embedding(5, 3)}, 1);
  const Numbers table = numbers_of(made->tensors().front().tensor);
  const HostTensor x = tokens(2, 4, 5);
  const Numbers index = numbers_of(x);
  const Numbers y = numbers_of(made->forward(copy_of(x), {}, true));
  const HostTensor upstream = noise_tensor({2, 4, 3}, 2);
  const Numbers dx = numbers_of(made->backward(copy_of(upstream)));
  const Numbers dy = numbers_of(upstream);
  Numbers expected(15);
  for (size_t i = 0; i < 8; ++i) {
    CHECK_EQUAL(dx[i], 0.0);
    for (size_t j = 0; j < 3; ++j) {
      const size_t at = static_cast<size_t>(index[i]) * 3 + j;
      CHECK_EQUAL(y[3 * i + j], table[at]);
      expected[at] += dy[3 * i + j];
    }
  }
  const Numbers gradient = numbers_of(made->gradients().front().tensor);
  for (size_t i = 0; i < 15; ++i) CHECK_NEAR(gradient[i], expected[i], 1e-15);
}

TEST(an_embedding_refuses_what_is_no_row_of_its_table) {
  const auto made = engine({embedding(5, 3), lstm(2)}, 1);
  for (const double wrong : {5.0, -1.0, 1.5}) {
    HostTensor x = tokens(2, 4, 5);
    std::get<Buffer<double>>(x.data)[6] = wrong;
    CHECK_THROWS(kData, "at row 1 of the batch, step 2", made->forward(copy_of(x), {}, true));
    // Behind its row's length anything may stand.
    made->forward(std::move(x), std::vector<int32_t>{4, 2}, true);
  }
}

TEST(layer_norm_has_mean_0_and_variance_1) {
  const auto made = engine({layer("layerNorm", {{"epsilon", 1e-12}})}, 7);
  const Numbers y = numbers_of(made->forward(noise_tensor({2, 3, 7}, 1), {}, true));
  for (size_t row = 0; row < 6; ++row) {
    double sum = 0, squares = 0;
    for (size_t j = 0; j < 7; ++j)
      sum += y[7 * row + j], squares += y[7 * row + j] * y[7 * row + j];
    CHECK_NEAR(sum, 0, 1e-12);
    CHECK_NEAR(squares / 7, 1, 1e-9);
  }
}

TEST(pooling_is_over_valid_steps) {
  const HostTensor x = noise_tensor({4, 4, 2}, 1);
  const Numbers given = numbers_of(x);
  for (const std::string over : {"last", "mean", "max"}) {
    const auto made = engine({pool(over.c_str())}, 2);
    const Numbers y = numbers_of(made->forward(copy_of(x), kLengths, true));
    for (size_t row = 0; row < 4; ++row) {
      for (size_t j = 0; j < 2; ++j) {
        double last = 0, sum = 0, largest = -2;
        for (size_t t = 0; t < static_cast<size_t>(kLengths[row]); ++t) {
          last = given[(row * 4 + t) * 2 + j];
          sum += last;
          largest = std::max(largest, last);
        }
        const double count = std::max(1, kLengths[row]);
        if (kLengths[row] == 0) largest = 0;
        const double expected = over == "last" ? last : over == "mean" ? sum / count : largest;
        CHECK_NEAR(y[2 * row + j], expected, 1e-15);
      }
    }
  }
}

/// Sets the parameters of `to` whose names begin with `prefix` from those of `from` without it.
void copy_weights(Engine& from, const std::string& from_prefix, Engine& to,
                  const std::string& to_prefix) {
  NamedTensors list;
  for (NamedTensor& each : from.tensors()) {
    if (each.name.rfind(from_prefix, 0) != 0) continue;
    list.push_back(
        {each.role, to_prefix + each.name.substr(from_prefix.size()), std::move(each.tensor)});
  }
  CHECK(!list.empty());
  to.set_tensors(std::move(list));
}

/// The valid steps of each row in the other order.
HostTensor turned(const HostTensor& x) {
  HostTensor y = copy_of(x);
  const int64_t steps = x.shape[1], features = x.shape[2];
  const auto& from = std::get<Buffer<double>>(x.data);
  auto& to = std::get<Buffer<double>>(y.data);
  for (int64_t row = 0; row < x.shape[0]; ++row) {
    const int64_t valid = kLengths[static_cast<size_t>(row)];
    for (int64_t t = 0; t < valid; ++t) {
      std::copy_n(from.data() + (row * steps + valid - 1 - t) * features, features,
                  to.data() + (row * steps + t) * features);
    }
  }
  return y;
}

TEST(backwards_is_forwards_on_turned_rows) {
  const HostTensor x = noise_tensor({4, 4, 2}, 1);
  for (const bool sequences : {false, true}) {
    const auto forwards = engine({lstm(3, sequences)}, 2);
    const auto made = engine({backwards(lstm(3, sequences))}, 2);
    HostTensor expected = forwards->forward(turned(x), kLengths, false);
    if (sequences) expected = turned(expected);
    CHECK(numbers_of(made->forward(copy_of(x), kLengths, false)) == numbers_of(expected));
  }
}

TEST(both_directions_are_two_layers) {
  const HostTensor x = noise_tensor({4, 4, 2}, 1);
  for (const char* merge : {"concat", "sum"}) {
    const auto both = engine({bidirectional(lstm(3, true), merge)}, 2);
    const auto one = engine({lstm(3, true)}, 2), other = engine({backwards(lstm(3, true))}, 2);
    copy_weights(*both, "bidirectional_1.forward.", *one, "lstm_1.");
    copy_weights(*both, "bidirectional_1.backward.", *other, "lstm_1.");
    const Numbers a = numbers_of(one->forward(copy_of(x), kLengths, false));
    const Numbers b = numbers_of(other->forward(copy_of(x), kLengths, false));
    CHECK(a != b);
    const Numbers y = numbers_of(both->forward(copy_of(x), kLengths, false));
    for (size_t i = 0; i < a.size(); ++i) {
      if (merge[0] == 's') {
        CHECK_EQUAL(y[i], a[i] + b[i]);
      } else {
        CHECK_EQUAL(y[i / 3 * 6 + i % 3], a[i]);
        CHECK_EQUAL(y[i / 3 * 6 + 3 + i % 3], b[i]);
      }
    }
  }
}

std::vector<LayerSpec> all_kinds() {
  return {embedding(9, 6),    residual({bidirectional(lstm(3, true), "concat"), dropout(0.3)}),
          layer("layerNorm"), backwards(lstm(5, true)),
          pool("max"),        dense(2)};
}

Numbers train_all(int threads) {
  const auto made = engine(all_kinds(), 1, DType::kFloat32, threads);
  made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("adam")}}));
  std::vector<int32_t> labels(100), lengths(100);
  for (size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<int32_t>(i % 2);
    lengths[i] = static_cast<int32_t>(i % 21);
  }
  const int64_t data = made->add_data(tokens(100, 20, 9), int_tensor(labels), lengths);
  train(*made, data, first_rows(100), 37, 0.01);
  return state_of(*made);
}

TEST(training_is_equal_to_the_bit_for_any_number_of_threads) {
  const Numbers one = train_all(1);
  CHECK(train_all(2) == one);
  CHECK(train_all(3) == one);
}

TEST(padding_changes_nothing) {
  const auto made = engine(all_kinds(), 1, DType::kFloat32, 1);
  HostTensor padded = tokens(3, 9, 9), cut = make_tensor<double>({3, 6, 1}, "cut");
  for (int64_t row = 0; row < 3; ++row) {
    std::copy_n(std::get<Buffer<double>>(padded.data).data() + row * 9, 6,
                std::get<Buffer<double>>(cut.data).data() + row * 6);
  }
  const std::vector<int32_t> lengths = {6, 2, 5};
  const Numbers long_output = numbers_of(made->forward(std::move(padded), lengths, false));
  CHECK(numbers_of(made->forward(std::move(cut), lengths, false)) == long_output);
}

TEST(wrong_layers_are_refused) {
  const auto make = [](const std::vector<LayerSpec>& layers) { engine(layers, 2); };
  CHECK_THROWS(kOption, "reads 2 features", make({embedding(5, 3)}));
  CHECK_THROWS(kOption, "needs a sequence", make({lstm(2), pool("mean")}));
  CHECK_THROWS(kOption, "epsilon is 0", make({layer("layerNorm", {{"epsilon", 0.0}})}));
  CHECK_THROWS(kOption, "expected one recurrent layer", make({LayerSpec(layer("bidirectional"))}));
  CHECK_THROWS(kOption, "of kind 'dense' inside", make({bidirectional(dense(2), "sum")}));
  CHECK_THROWS(kOption, "has goBackwards", make({bidirectional(backwards(lstm(2)), "sum")}));
  CHECK_THROWS(kOption, "has no layers inside", make({residual({})}));
  CHECK_THROWS(kOption, "adds a row of 2 features to a sequence of 2", make({residual({lstm(2)})}));
  Spec frozen = dense(2);
  frozen.set("trainable", false);
  CHECK_THROWS(kOption, "set that for the whole", make({residual({frozen})}));
}

}  // namespace
}  // namespace lookback
