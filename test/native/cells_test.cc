/// What cells promise in their headers beyond what the generic tests look at: options that are
/// other words for each other, gradients that are exactly zero, memory.
#include <algorithm>
#include <cmath>
#include <string>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

std::unique_ptr<Recurrence<double>> cell_of(CpuRuntime& runtime, const CellCase& c) {
  return make_cpu_recurrence<double>(runtime, c.cell, c.spec);
}

CellResult<double> run(const CellCase& c, const CellData& data) {
  CpuRuntime runtime(1);
  return run_cell(*cell_of(runtime, c), data);
}

CellData data_of(const CellCase& c) {
  CpuRuntime runtime(1);
  return make_data(c, *cell_of(runtime, c));
}

bool all_zero(const std::vector<double>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](double x) { return x == 0; });
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = a.size() == b.size() ? 0 : HUGE_VAL;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

/// Rows of the gates in one order as rows in another.
std::vector<double> reorder(const std::vector<double>& rows, const std::string& from,
                            const std::string& to) {
  const size_t block = rows.size() / 4;
  std::vector<double> out;
  for (const char gate : to) {
    const auto begin = rows.begin() + static_cast<ptrdiff_t>(from.find(gate) * block);
    out.insert(out.end(), begin, begin + static_cast<ptrdiff_t>(block));
  }
  return out;
}

TEST(lstm_gate_orders_differ_in_the_order_only) {
  const CellCase reference = lstm_case("default");
  const CellData data = data_of(reference);
  const CellResult<double> expected = run(reference, data);
  for (const char* order : {"ifog", "igfo", "gfio", "fiog"}) {
    CellData stored = data;
    for (auto& [name, numbers] : stored.params) numbers = reorder(numbers, "ifgo", order);
    const CellResult<double> result = run(lstm_case(order, {{"gateOrder", word(order)}}), stored);
    for (const auto& [name, numbers] : expected.outputs) CHECK(result.outputs.at(name) == numbers);
    CHECK(result.gradients.at("x") == expected.gradients.at("x"));
    for (const auto& [name, numbers] : data.params) {
      CHECK(reorder(result.gradients.at(name), order, "ifgo") == expected.gradients.at(name));
    }
  }
}

TEST(lstm_biases_are_other_words_for_their_sum) {
  const CellCase twice = lstm_case("default"),
                 once = lstm_case("single", {{"bias", word("single")}});
  const CellData data = data_of(twice);
  CellData single = data_of(once);
  single.params.at("W_x") = data.params.at("W_x");
  single.params.at("W_h") = data.params.at("W_h");
  for (size_t i = 0; i < single.params.at("b").size(); ++i) {
    single.params.at("b")[i] = data.params.at("b_x")[i] + data.params.at("b_h")[i];
  }
  const CellResult<double> expected = run(twice, data), result = run(once, single);
  CHECK(result.outputs.at("y") == expected.outputs.at("y"));
  CHECK(result.gradients.at("b") == expected.gradients.at("b_x"));
  CHECK(expected.gradients.at("b_h") == expected.gradients.at("b_x"));
  // A constant on the forget gate is a bias there; only the order of the additions differs.
  CellData added = single;
  for (size_t i = 5; i < 10; ++i) added.params.at("b")[i] += 0.75;
  const CellCase constant =
      lstm_case("single", {{"bias", word("single")}, {"forgetBiasAdd", 0.75}});
  CHECK(largest_difference(run(constant, single).outputs.at("y"),
                           run(once, added).outputs.at("y")) < 1e-14);
}

/// With the attention in all gates the paper's two modes are one function.
TEST(larnn_modes_with_attention_in_all_gates_are_one) {
  for (const char* norm : {"none", "layer", "batch"}) {
    const CellCase residual = larnn_case(norm, "residual"),
                   layer = larnn_case(norm, "layer", {{"mode", word("layer")}});
    const CellData data = data_of(residual);
    CHECK(run(layer, data).gradients == run(residual, data).gradients);
  }
}

/// A sum over layers begins with the input, also when there is one layer.
TEST(larnn_residual_stacking_of_one_layer_adds_the_input) {
  const CellCase plain = larnn_case("layer", "plain", {{"inputSize", 6.0}});
  const CellData data = data_of(plain);
  const CellResult<double> expected = run(plain, data);
  for (const char* stacking : {"residual", "replayResidual"}) {
    const CellCase sum =
        larnn_case("layer", stacking, {{"inputSize", 6.0}, {"stacking", word(stacking)}});
    const CellResult<double> result = run(sum, data);
    for (size_t i = 0; i < data.inputs.at("x").size(); ++i) {
      CHECK_EQUAL(result.outputs.at("y")[i], expected.outputs.at("y")[i] + data.inputs.at("x")[i]);
    }
    // y_last hands its gradient to y at the last step.
    double through_sum = 0, direct = 0;
    for (size_t i = 0; i < data.inputs.at("x").size(); ++i) {
      through_sum += result.gradients.at("x")[i] - expected.gradients.at("x")[i];
      direct += data.upstream.at("y")[i];
    }
    for (const double number : data.upstream.at("y_last")) direct += number;
    CHECK_NEAR(through_sum, direct, 1e-12);
  }
}

/// Masks on the window's inputs take the long way through every product; of ones they must find
/// what the projections that are kept give.
TEST(larnn_window_projected_once_equals_projected_at_every_age) {
  for (const char* positional : {"concat", "add"}) {
    for (const char* norm : {"none", "layer"}) {
      CellCase c = larnn_case(norm, positional, {{"positional", word(positional)}});
      const CellResult<double> expected = run(c, data_of(c));
      c.masks = {"pos"};
      CellData data = data_of(c);
      std::fill(data.inputs.at("mask.l0.pos").begin(), data.inputs.at("mask.l0.pos").end(), 1.0);
      const CellResult<double> result = run(c, data);
      // The same sums in another order, over six steps.
      CHECK(largest_difference(result.outputs.at("y"), expected.outputs.at("y")) < 1e-13);
      for (const auto& [name, numbers] : expected.gradients) {
        CHECK(largest_difference(result.gradients.at(name), numbers) < 1e-11);
      }
    }
  }
}

TEST(larnn_masks_of_ones_are_no_masks) {
  CellCase c = larnn_case("none", "masks");
  const CellResult<double> expected = run(c, data_of(c));
  c.masks = {"hidden", "attn"};
  CellData data = data_of(c);
  for (const char* mask : {"mask.l0.hidden", "mask.l0.attn"}) {
    std::fill(data.inputs.at(mask).begin(), data.inputs.at(mask).end(), 1.0);
  }
  const CellResult<double> result = run(c, data);
  CHECK(result.outputs == expected.outputs);
  CHECK(result.gradients == expected.gradients);
}

/// With a single entry the softmax is constant: neither query nor keys learn, not even noise.
TEST(larnn_window_of_one_gives_no_gradient_to_query_and_keys) {
  for (const char* norm : {"none", "layer", "batch"}) {
    const CellCase c = larnn_case(norm, "window 1", {{"window", 1.0}});
    const CellResult<double> result = run(c, data_of(c));
    for (const char* name : {"l0.W_q", "l0.b_q", "l0.W_k", "l0.b_k"}) {
      CHECK(all_zero(result.gradients.at(name)));
    }
    CHECK(!all_zero(result.gradients.at("l0.W_v")));
  }
}

TEST(larnn_exact_zeros_under_batch_norm) {
  CellCase c = larnn_case("batch", "default");
  CHECK(all_zero(run(c, data_of(c)).gradients.at("l0.bn_k.beta")));
  // The first-step rule: one step from the default start. All rows attend to the same zero state.
  c.steps = 1;
  const CellResult<double> first = run(c, data_of(c));
  for (const char* name : {"l0.W_q", "l0.W_k", "l0.W_v", "l0.b_v", "l0.bn_v.gamma", "l0.bn_v.beta",
                           "l0.W_o", "l0.b_o"}) {
    CHECK(all_zero(first.gradients.at(name)));
  }
  CHECK(!all_zero(first.gradients.at("l0.bn_att.beta")));
  // Without the norm behind the attention the values' beta is what is left of the branch.
  c.spec.set("bnAttention", false);
  const CellResult<double> bare = run(c, data_of(c));
  for (const char* name : {"l0.W_v", "l0.b_v", "l0.bn_v.gamma", "l0.W_k", "l0.W_q"}) {
    CHECK(all_zero(bare.gradients.at(name)));
  }
  CHECK(!all_zero(bare.gradients.at("l0.bn_v.beta")));
  CHECK(!all_zero(bare.gradients.at("l0.W_o")));
  // With a given state the rule does not apply: its gradient is wanted.
  c.entries = 2;
  CHECK(!all_zero(run(c, data_of(c)).gradients.at("l0.W_v")));
}

/// Masks belong to rows and elements: the batch and the number of steps around them do not matter.
TEST(larnn_drawn_masks_belong_to_rows_and_steps) {
  CellCase c = larnn_case("none", "drawn", {{"hiddenDropout", 0.4}, {"attentionDropout", 0.3}});
  c.drawn = true;
  c.batch = 19;
  const CellData data = data_of(c);
  const std::vector<double> y = run(c, data).outputs.at("y");
  CellCase small = c;
  small.batch = 4;
  small.steps = 3;
  CellData part = data_of(small);
  const size_t inputs = 3, units = 6;
  for (size_t b = 0; b < 4; ++b) {
    for (size_t i = 0; i < 3 * inputs; ++i) {
      part.inputs.at("x")[b * 3 * inputs + i] = data.inputs.at("x")[b * 6 * inputs + i];
    }
  }
  const std::vector<double> part_y = run(small, part).outputs.at("y");
  for (size_t b = 0; b < 4; ++b) {
    for (size_t i = 0; i < 3 * units; ++i)
      CHECK_EQUAL(part_y[b * 3 * units + i], y[b * 6 * units + i]);
  }
  // Dropped outputs are exactly zero: 684 of them at a rate of 0.4, four standard deviations wide.
  const auto dropped = std::count(y.begin(), y.end(), 0.0);
  CHECK_NEAR(dropped, 0.4 * 684, 4 * std::sqrt(684 * 0.4 * 0.6));
}

/// Where x is dropped its gradient is exactly zero, so that shows the mask.
TEST(input_masks_are_drawn_once_a_sequence_or_once_a_step) {
  for (const char* kind : {"sequence", "step"}) {
    CellCase c = simple_case("rnn", kind, {{"dropout", 0.4}, {"dropoutMask", word(kind)}});
    c.drawn = true;
    c.batch = 19;
    const std::vector<double> dx = run(c, data_of(c)).gradients.at("x");
    const size_t width = 3, steps = 6;
    int changes = 0, dropped = 0;
    for (size_t i = 0; i < dx.size(); ++i) {
      dropped += dx[i] == 0;
      const bool first = i / width % steps == 0;
      changes += !first && (dx[i] == 0) != (dx[i - width] == 0);
    }
    CHECK_EQUAL(changes > 0, std::string(kind) == "step");
    // 57 masks of a sequence or 342 of a step, four standard deviations wide.
    const double share = static_cast<double>(dropped) / static_cast<double>(dx.size());
    CHECK_NEAR(share, 0.4, 4 * std::sqrt(0.4 * 0.6 / (changes > 0 ? 342 : 57)));
  }
}

TEST(zoneout_keeps_its_share_of_units) {
  CellCase c = lstm_case("zoneout", {{"zoneout", 0.3}});
  c.drawn = true;
  c.batch = 19;
  const std::vector<double> y = run(c, data_of(c)).outputs.at("y");
  const size_t width = 5, steps = 6;
  int kept = 0;
  for (size_t i = 0; i < y.size(); ++i) kept += y[i] == (i / width % steps == 0 ? 0 : y[i - width]);
  CHECK_NEAR(kept, 0.3 * 570, 4 * std::sqrt(570 * 0.3 * 0.7));
}

struct Sizes {
  int64_t batch, steps, units, window, heads;
  const char* norm;
  double limit;  ///< times the formula
};

/// Section 7 of LARNN's document, for one layer: T (11 B H + B A + 18 H) numbers, and the input.
double bytes_by_formula(const Sizes& s) {
  const int64_t numbers = s.steps * (11 * s.batch * s.units + s.batch * s.heads + 18 * s.units) +
                          s.batch * s.steps * s.units;
  return static_cast<double>(numbers) * 4;
}

double bytes_of_tape(const Sizes& s) {
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const Spec spec = spec_of({{"inputSize", number(s.units)},
                             {"units", number(s.units)},
                             {"window", number(s.window)},
                             {"heads", number(s.heads)},
                             {"normalization", word(s.norm)}});
  CpuRuntime runtime(1);
  const auto cell = make_cpu_recurrence<float>(runtime, "larnn", spec);
  return static_cast<double>(cell->make_tape(s.batch, s.steps, true)->bytes());
}

/// The published size has a window of a third of its sequence, whose gradients on their way (a ring
/// of projections and the entries of one step: 4 k B H numbers) the formula does not count.
TEST(larnn_memory_of_a_training_step) {
  for (const Sizes& s :
       {Sizes{64, 128, 32, 16, 4, "none", 1.2}, Sizes{64, 128, 32, 16, 4, "layer", 1.2},
        Sizes{256, 128, 81, 38, 27, "batch", 1.25}}) {
    const double ratio = bytes_of_tape(s) / bytes_by_formula(s);
    std::cout << "     " << s.norm << " B=" << s.batch << " H=" << s.units << ": "
              << bytes_of_tape(s) / 1e6 << " MB, " << ratio << " of the formula\n";
    CHECK(ratio <= s.limit);
  }
}

}  // namespace
}  // namespace lookback
