/// What a tape holds and what a caller asks for do not show in the numbers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

template <class Check>
void for_cases(const Check& check) {
  CpuRuntime runtime(2);
  for (const CellCase& c : cell_cases()) {
    check(c, *make_cpu_recurrence<float>(runtime, c.cell, c.spec));
    check(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
  }
}

template <class S>
void check_equal(const CellCase& c, const char* what, const Arrays<S>& actual,
                 const Arrays<S>& expected) {
  for (const auto& [name, numbers] : expected) {
    if (actual.at(name) != numbers) {
      check::fail(c.name.c_str(), static_cast<int>(sizeof(S)),
                  text(what, ": other bits of ", name));
    }
  }
}

/// A tape for inference keeps only as many steps as the cell looks back.
TEST(inference_equals_the_forward_pass_of_training) {
  for_cases([]<class S>(const CellCase& c, Recurrence<S>& cell) {
    const CellData data = make_data(c, cell);
    const Arrays<S> inputs = convert<S>(data.inputs), params = convert<S>(data.params);
    CellRun<S> keeping(cell, data), passing(cell, data, false);
    check_equal(c, "without a tape", passing.forward(inputs, params),
                keeping.forward(inputs, params));
  });
}

/// A model uses one tape for all its steps: what an earlier call left must not matter.
TEST(a_used_tape_is_as_good_as_a_new_one) {
  for_cases([]<class S>(const CellCase& c, Recurrence<S>& cell) {
    const CellData data = make_data(c, cell);
    const Arrays<S> inputs = convert<S>(data.inputs), params = convert<S>(data.params);
    const Arrays<S> upstream = convert<S>(data.upstream);
    const CellResult<S> fresh = run_cell(cell, data);
    CellRun<S> run(cell, data);
    Arrays<S> other_inputs = inputs, other_params = params;
    for (S& number : other_inputs.at("x")) number *= S(-3);
    for (auto& [name, numbers] : other_params) {
      if (data.fixed.count(name) != 0) continue;  // signs stay signs
      for (S& number : numbers) number *= S(0.5);
    }
    run.forward(other_inputs, other_params);
    run.backward(upstream, other_params);
    check_equal(c, "on a used tape", run.forward(inputs, params), fresh.outputs);
    check_equal(c, "on a used tape", run.backward(upstream, params), fresh.gradients);
  });
}

/// Weights of a known version are prepared once. A call of none in particular comes between, with
/// as few rows as have loops of their own: what was prepared for the others does not stand for it,
/// nor after it.
TEST(a_version_stands_until_another_call) {
  for_cases([]<class S>(const CellCase& c, Recurrence<S>& cell) {
    if (c.drawn) return;
    const CellData data = make_data(c, cell);
    const Arrays<S> inputs = convert<S>(data.inputs), params = convert<S>(data.params);
    Arrays<S> others = params;
    for (auto& [name, numbers] : others) {
      if (data.fixed.count(name) != 0) continue;
      for (S& number : numbers) number *= S(0.5);
    }
    CellCase small = c;
    small.batch = c.batch > 2 ? 2 : 6;
    const CellData few = make_data(small, cell);
    CellRun<S> run(cell, data, false), between(cell, few, false);
    const Arrays<S> expected = run.forward(inputs, params);
    run.version = 1;
    run.forward(inputs, others);
    between.forward(convert<S>(few.inputs), others);
    check_equal(c, "after a call of no version", run.forward(inputs, params), expected);
  });
}

/// Nothing is computed differently because something else was not asked for.
TEST(absent_destinations_change_nothing) {
  for_cases([]<class S>(const CellCase& c, Recurrence<S>& cell) {
    const CellData data = make_data(c, cell);
    const CellResult<S> all = run_cell(cell, data);
    CellData less = data;
    less.output_shapes = {{"y", data.output_shapes.at("y")}};
    less.upstream = {};
    const CellResult<S> few = run_cell(cell, less);
    check_equal(c, "alone", few.outputs, {{"y", all.outputs.at("y")}});
    // Nothing flows back from nothing.
    for (const auto& [name, numbers] : few.gradients) {
      for (const S number : numbers) {
        if (number == S(0)) continue;
        check::fail(c.name.c_str(), 0, text("the gradient of ", name, " comes from nowhere"));
        break;
      }
    }
  });
}

/// Gradients of parameters are added to what is there. The sum rounds where it is added, up to once
/// for each of the blocks and tables that a parameter is part of.
TEST(parameter_gradients_accumulate) {
  for_cases([]<class S>(const CellCase& c, Recurrence<S>& cell) {
    const CellData data = make_data(c, cell);
    const Arrays<S> params = convert<S>(data.params), inputs = convert<S>(data.inputs);
    const Arrays<S> upstream = convert<S>(data.upstream);
    CellRun<S> run(cell, data);
    run.forward(inputs, params);
    const Arrays<S> gradients = run.backward(upstream, params);
    run.forward(inputs, params);
    Arrays<S> twice = gradients;
    run.backward_onto(upstream, params, twice);
    for (const std::string& name : data.param_order) {
      if (data.fixed.count(name) != 0) continue;
      for (size_t i = 0; i < params.at(name).size(); ++i) {
        const double once = static_cast<double>(gradients.at(name)[i]);
        // A table of positions adds its parts one by one: their sizes are not those of the sum.
        const double bound = 64 * static_cast<double>(std::numeric_limits<S>::epsilon());
        if (!check::near(static_cast<double>(twice.at(name)[i]), 2 * once,
                         bound * std::max(1.0, 4 * std::abs(once)))) {
          check::fail(
              c.name.c_str(), static_cast<int>(i),
              text(name, " is ", twice.at(name)[i], " after two passes and ", once, " after one"));
        }
      }
    }
  });
}

}  // namespace
}  // namespace lookback
