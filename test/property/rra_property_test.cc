/// RRA: what its weights are, what it is without them, and its window handed from call to call.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

std::unique_ptr<Recurrence<double>> cell_of(CpuRuntime& runtime, const CellCase& c) {
  return make_cpu_recurrence<double>(runtime, c.cell, c.spec);
}

CellData data_of(const CellCase& c) {
  CpuRuntime runtime(1);
  return make_data(c, *cell_of(runtime, c));
}

CellResult<double> run(const CellCase& c, const CellData& data) {
  CpuRuntime runtime(1);
  return run_cell(*cell_of(runtime, c), data);
}

/// Sizes that fill no register block and no tile, lengths from one step on, single rows.
template <class F>
void for_sizes(const F& f) {
  for (const auto& [batch, steps, units, K] :
       {std::array<int, 4>{1, 1, 1, 1}, {3, 7, 5, 4}, {5, 2, 3, 9}, {37, 12, 11, 6}}) {
    for (const char* warmup : {"zeros", "renormalize"}) {
      for (const char* shape : {"vector", "matrix"}) {
        CellCase c = rra_case("of some size", {{"units", 1.0 * units},
                                               {"K", 1.0 * K},
                                               {"warmup", word(warmup)},
                                               {"gateShape", word(shape)}});
        c.batch = batch;
        c.steps = steps;
        f(c, K, c.spec.word("gateShape", "") == "matrix" ? units : 1);
      }
    }
  }
}

TEST(weights_sum_to_one) {
  for (const char* normalize : {"sum", "softmax"}) {
    for_sizes([&](CellCase c, int K, int columns) {
      c.spec.set("normalize", word(normalize));
      const std::vector<double> w = run(c, data_of(c)).outputs.at("w");
      const int rows = static_cast<int>(w.size()) / (K * columns);
      CHECK_EQUAL(rows, c.spec.word("warmup", "") == "renormalize" ? K : 1);
      for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
          double sum = 0;
          for (int k = 0; k < K; ++k) {
            const double weight = w[static_cast<size_t>((row * K + k) * columns + column)];
            sum += weight;
            if (rows > 1 && k > row) CHECK_EQUAL(weight, 0);
          }
          CHECK_NEAR(sum, 1, 4 * K * kEpsilon);  // weights of either sign, of size 1
        }
      }
    });
  }
}

/// The function does not change when a column of W_a is scaled.
TEST(weights_divided_by_their_sum_have_no_gradient_along_themselves) {
  for_sizes([](CellCase c, int K, int columns) {
    c.spec.set("normalize", word("sum"));
    const CellData data = data_of(c);
    const std::vector<double> d = run(c, data).gradients.at("W_a");
    const std::vector<double>& W = data.params.at("W_a");
    for (int column = 0; column < columns; ++column) {
      double along = 0, size = 0;
      for (int k = 0; k < K; ++k) {
        const size_t i = static_cast<size_t>(k * columns + column);
        along += W[i] * d[i];
        size += std::abs(W[i] * d[i]);
      }
      // Each dW_k is a difference that has lost up to three digits where weights nearly cancel.
      CHECK_NEAR(along, 0, 1e3 * K * kEpsilon * (size + 1e-3));
    }
  });
}

TEST(without_weights_it_is_an_lstm_bit_for_bit) {
  for (const char* inject : {"insideTanh", "output", "gatedOutput", "cell", "candidate"}) {
    for_sizes([&](CellCase c, int, int) {
      c.spec.set("normalize", word("none"));
      c.spec.set("inject", word(inject));
      c.entries = 1;
      c.given = {"h0", "c0"};
      // Few rows of an LSTM have loops of their own, which sum a weight's gradient in another
      // order.
      c.batch = std::max<int64_t>(c.batch, 5);
      CellData data = data_of(c);
      std::fill(data.params.at("W_a").begin(), data.params.at("W_a").end(), 0.0);
      data.upstream.erase("window_n");
      CellCase plain = lstm_case("of the same size", {{"bias", word("single")}});
      plain.spec.set("units", c.spec.number("units", 0));
      plain.batch = c.batch;
      plain.steps = c.steps;
      plain.entries = 1;
      CellData same = data_of(plain);
      CHECK(same.inputs == data.inputs);
      for (auto& [name, numbers] : same.params) numbers = data.params.at(name);
      const CellResult<double> expected = run(plain, same), result = run(c, data);
      for (const auto& [name, numbers] : expected.outputs)
        CHECK(result.outputs.at(name) == numbers);
      for (const auto& [name, numbers] : expected.gradients)
        CHECK(result.gradients.at(name) == numbers);
    });
  }
}

/// The first `steps` steps of every row of [B,T,n], or the others.
std::vector<double> steps_of(const std::vector<double>& all, const Shape& shape, int64_t begin,
                             int64_t end) {
  std::vector<double> out;
  for (int64_t b = 0; b < shape[0]; ++b) {
    const auto row = all.begin() + static_cast<ptrdiff_t>(b * shape[1] * shape[2]);
    out.insert(out.end(), row + static_cast<ptrdiff_t>(begin * shape[2]),
               row + static_cast<ptrdiff_t>(end * shape[2]));
  }
  return out;
}

/// Two calls, the second on the states and the window that the first one left, give what one call
/// gives, and so do their gradients, handed back the same way.
void check_two_calls(const CellCase& whole, int64_t cut) {
  const CellData data = data_of(whole);
  const CellResult<double> expected = run(whole, data);
  CellCase first = whole, second = whole;
  first.steps = cut;
  second.steps = whole.steps - cut;
  second.entries = 1;
  CellData front = data_of(first), back = data_of(second);
  const Shape x_shape = data.input_shapes.at("x"), y_shape = data.output_shapes.at("y");
  front.inputs.at("x") = steps_of(data.inputs.at("x"), x_shape, 0, cut);
  back.inputs.at("x") = steps_of(data.inputs.at("x"), x_shape, cut, whole.steps);
  const std::vector<double>& dy = data.upstream.at("y");
  front.upstream.at("y") = steps_of(dy, y_shape, 0, cut);
  back.upstream.at("y") = steps_of(dy, y_shape, cut, whole.steps);
  front.upstream.erase("y_last");
  const CellResult<double> one = run(first, front);
  for (const char* state : {"h", "c", "window"})
    back.inputs.at(std::string(state) + "0") = one.outputs.at(std::string(state) + "_n");
  const CellResult<double> two = run(second, back);
  for (const char* state : {"h", "c", "window"}) {
    const std::string final = std::string(state) + "_n";
    CHECK(two.outputs.at(final) == expected.outputs.at(final));
    front.upstream.at(final) = two.gradients.at(std::string(state) + "0");
  }
  const CellResult<double> again = run(first, front);
  // The same sums in another order, over at most some hundred terms of size 10.
  constexpr double kBound = 1e-12;
  for (const auto& [name, d] : expected.gradients) {
    std::vector<double> sum = again.gradients.at(name);
    if (name == "x") {
      CHECK(steps_of(d, x_shape, cut, whole.steps) == two.gradients.at("x"));
      continue;
    }
    const bool state = data.inputs.count(name) != 0;
    for (size_t i = 0; i < sum.size(); ++i) {
      if (!state) sum[i] += two.gradients.at(name)[i];
      CHECK_NEAR(sum[i], d[i], kBound);
    }
  }
}

TEST(two_calls_with_a_carried_window_equal_one) {
  for (const char* attention : {"gate", "softmaxPerStep", "dotPerStep"}) {
    for (const bool include_initial : {false, true}) {
      for (const double lag : {1.0, 3.0}) {
        CellCase c = rra_case("in two calls", {{"attention", word(attention)},
                                               {"includeInitial", include_initial},
                                               {"lag", lag},
                                               {"K", 4.0}});
        c.steps = 9;
        for (const int64_t cut : {1, 4, 8}) check_two_calls(c, cut);
        c.entries = 1;
        check_two_calls(c, 4);
      }
    }
  }
}

/// Nothing keeps sums of weights away from 0; the error says which, and the cell goes on.
TEST(the_pole_of_a_sum_is_an_error) {
  const auto fails = [](const CellCase& c, const std::vector<double>& W_a, const char* message) {
    CpuRuntime runtime(1);
    const auto cell = cell_of(runtime, c);
    const CellData data = make_data(c, *cell);
    CellData wrong = data;
    wrong.params.at("W_a") = W_a;
    CHECK_THROWS(kNumeric, message, run_cell(*cell, wrong));
    CHECK(run_cell(*cell, data).outputs == run(c, data).outputs);
  };
  const CellCase sum = rra_case("sum", {{"normalize", word("sum")}});
  fails(sum, {0.5, -0.25, -0.25}, "the sum of the 3 weights W_a is 0");
  fails(sum, {0.5, -0.25, -0.2499995}, "use normalize 'softmax'");
  fails(rra_case("l1", {{"normalize", word("l1")}}), {0, 1e-8, 0},
        "the sum of the absolute values of the 3 weights W_a is 1e-08");
  fails(rra_case("renormalize", {{"normalize", word("sum")}, {"warmup", word("renormalize")}}),
        {0.5, -0.5, 1}, "the sum of the first 2 of 3 weights W_a is 0");
  fails(rra_case("matrix",
                 {{"normalize", word("sum")}, {"gateShape", word("matrix")}, {"units", 2.0}}),
        {1, 1, 1, -2, 1, 1}, "the sum of the 3 weights W_a, column 1, is 0");
  fails(sum, {std::nan(""), 1, 1}, "parameter W_a holds nan");
}

TEST(options_that_do_not_fit_are_errors) {
  const auto refused = [](const Options& options, const char* message) {
    CpuRuntime runtime(1);
    CHECK_THROWS(kOption, message, cell_of(runtime, rra_case("wrong", options)));
  };
  refused({{"K", 0.0}}, "option K is 0");
  refused({{"lag", 0.0}}, "option lag is 0");
  refused({{"gateOrder", word("ifgg")}}, "the letters i, f, g and o");
  refused({{"base", word("rnn")}, {"inject", word("cell")}}, "needs base 'lstm'");
  refused({{"K", 16384.0}, {"units", 16384.0}, {"gateShape", word("matrix")}},
          "the weights of a window of 16384 entries are 268435456 numbers");
}

}  // namespace
}  // namespace lookback
