/// A run with resets equals the separate runs that it is cut into: bit for bit where rows are
/// concerned, to rounding where rows are summed up.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "backend/cpu/recurrence.h"
#include "native/cell_parts.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

/// The stretches of row b between its resets, up to its length.
std::vector<Part> stretches(const CellData& data, int64_t b) {
  const auto row = static_cast<size_t>(b);
  const int64_t length = data.lengths.empty() ? data.steps : data.lengths[row];
  std::vector<Part> parts = {{{b}, 0, 0}};
  for (int64_t t = 0; t < length; ++t) {
    const bool reset = data.inputs.at("resets")[static_cast<size_t>(b * data.steps + t)] != 0;
    if (reset && t > 0) parts.push_back({{b}, t, t});
    parts.back().end = t + 1;
  }
  return parts;
}

/// Of one stretch alone, with the state that it starts from and the gradient of what it ends with.
CellData data_of_stretch(const CellData& whole, const Part& part, bool starts_given, bool last) {
  CellData data = data_of_part(whole, part);
  data.lengths.clear();
  data.inputs.erase("resets");
  data.input_shapes.erase("resets");
  for (const auto& [name, shape] : whole.input_shapes) {
    const bool state =
        name != "x" && name != "resets" && !has_steps(name) && !starts_with(name, "buf.");
    if (!state || starts_given) continue;
    data.inputs.erase(name);
    data.input_shapes.erase(name);
  }
  for (const auto& [name, shape] : whole.output_shapes)
    if (name != "y" && !last) data.upstream.erase(name);
  return data;
}

template <class S>
void check_stretches(const CellCase& c, Recurrence<S>& cell) {
  const CellData data = make_data(c, cell);
  const CellResult<S> whole = run_cell(cell, data);
  Arrays<double> sums;
  const auto equal = [&](const std::string& name, const Arrays<S>& all,
                         const std::map<std::string, Shape>& shapes, const Part& part,
                         const Arrays<S>& some) {
    if (take(name, all.at(name), shapes.at(name), part) != some.at(name)) {
      check::fail(c.name.c_str(), static_cast<int>(part.rows[0]),
                  text("from step ", part.begin, ": other bits of ", name));
    }
  };
  for (int64_t b = 0; b < c.batch; ++b) {
    const std::vector<Part> parts = stretches(data, b);
    for (const Part& part : parts) {
      if (part.end == part.begin) continue;  // a row without steps
      const bool last = part.end == parts.back().end;
      const bool starts_given =
          part.begin == 0 && data.inputs.at("resets")[static_cast<size_t>(b * data.steps)] == 0;
      const CellData alone = data_of_stretch(data, part, starts_given, last);
      const CellResult<S> result = run_cell(cell, alone);
      equal("y", whole.outputs, data.output_shapes, part, result.outputs);
      equal("x", whole.gradients, data.input_shapes, part, result.gradients);
      for (const auto& [name, shape] : data.output_shapes) {
        if (last && (ends_with(name, "_n") || name == "y_last" || name == "queue_count"))
          equal(name, whole.outputs, data.output_shapes, part, result.outputs);
      }
      for (const auto& [name, gradient] : result.gradients) {
        if (data.params.count(name) == 0) {
          if (name != "x") equal(name, whole.gradients, data.input_shapes, part, result.gradients);
          continue;
        }
        std::vector<double>& sum = sums[name];
        sum.resize(gradient.size());
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(gradient[i]);
      }
    }
  }
  // Some hundred terms in another order.
  const double rounding = 1e3 * static_cast<double>(std::numeric_limits<S>::epsilon());
  for (const auto& [name, sum] : sums) {
    double size = 1e-3;
    for (const double number : sum) size = std::max(size, std::abs(number));
    for (size_t i = 0; i < sum.size(); ++i)
      CHECK_NEAR(whole.gradients.at(name)[i], sum[i], rounding * size);
  }
}

TEST(a_run_with_resets_equals_separate_runs) {
  CpuRuntime runtime(2);
  std::set<std::string> cells;
  int checked = 0;
  for (CellCase c : cell_cases()) {
    if (!c.resets) continue;
    c.batch = 7;
    c.steps = 9;
    check_stretches(c, *make_cpu_recurrence<float>(runtime, c.cell, c.spec));
    check_stretches(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
    cells.insert(c.cell);
    ++checked;
  }
  std::cout << "     " << checked << " cases of " << cells.size() << " cells\n";
  for (const CellCase& c : cell_cases()) {
    const bool coupled = c.cell == "bnlstm" || c.spec.word("normalization", "none") == "batch";
    if (!coupled && cells.count(c.cell) == 0)
      check::fail(c.name.c_str(), 0, "its cell has no case with resets");
  }
}

CellCase larnn_with_resets() {
  CellCase c = larnn_case("none", "resets");
  c.resets = true;
  c.batch = 11;
  c.steps = 13;
  return c;
}

/// Resets of which none is set change no bit, nor does a call with resets that came before.
TEST(no_reset_changes_nothing) {
  CellCase c = larnn_with_resets();
  c.entries = 2;
  CpuRuntime runtime(2);
  const auto cell = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
  const CellData with = make_data(c, *cell);
  CellData without = with, zero = with;
  without.inputs.erase("resets");
  without.input_shapes.erase("resets");
  std::fill(zero.inputs.at("resets").begin(), zero.inputs.at("resets").end(), 0.0);
  const CellResult<double> expected = run_cell(*cell, without);
  CHECK(run_cell(*cell, zero).outputs == expected.outputs);
  CHECK(run_cell(*cell, zero).gradients == expected.gradients);
  CellRun<double> run(*cell, with);
  const Arrays<double> first = run.forward(with.inputs, with.params);
  const Arrays<double> again = run.forward(with.inputs, with.params);
  CHECK(first == again);
  CHECK(first.at("y") != expected.outputs.at("y"));
}

/// Drawn masks belong to the row and step of the call, whatever it is cut into: with dropout on the
/// output alone they are where y is zero.
TEST(resets_leave_drawn_masks_in_their_place) {
  CellCase c = larnn_with_resets();
  c.drawn = true;
  c.spec.set("hiddenDropout", 0.4);
  c.spec.set("hiddenDropoutScope", word("output"));
  CpuRuntime runtime(2);
  const auto cell = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
  const CellData with = make_data(c, *cell);
  CellData without = with;
  without.inputs.erase("resets");
  without.input_shapes.erase("resets");
  const std::vector<double> cut = run_cell(*cell, with).outputs.at("y");
  const std::vector<double> whole = run_cell(*cell, without).outputs.at("y");
  int dropped = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    CHECK_EQUAL(cut[i] == 0, whole[i] == 0);
    dropped += whole[i] == 0;
  }
  CHECK(dropped > 100 && dropped < static_cast<int>(whole.size()));
}

TEST(rows_that_meet_cannot_be_reset) {
  CpuRuntime runtime(1);
  const auto refused = [&](CellCase c, const char* message) {
    c.resets = true;
    const auto cell = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
    CHECK_THROWS(kOption, message, run_cell(*cell, make_data(c, *cell)));
  };
  refused(larnn_case("batch", "in training"), "resets do not go with batch statistics");
  refused(larnn_case("none", "replayed", {{"stacking", word("replay")}, {"layers", 2.0}}),
          "resets do not go with the replay kinds of stacking");
  const CellCase c = larnn_with_resets();
  const auto cell = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
  CellData wrong = make_data(c, *cell);
  wrong.input_shapes.at("resets") = {c.steps, c.batch};
  CHECK_THROWS(kShape, "input resets has another shape than [11,13]", run_cell(*cell, wrong));
  CHECK(!run_cell(*cell, make_data(c, *cell)).outputs.empty());
}

}  // namespace
}  // namespace lookback
