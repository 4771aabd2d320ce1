/// One, two and three threads compute the same bits: outputs, row gradients and weight gradients of
/// every case, in both number types; also where they share a row.
#include <vector>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

/// `member_weights` of the runtime; 1: whoever is left over shares a row.
template <class S>
CellResult<S> run_on(int threads, const CellCase& c, int64_t member_weights) {
  CpuRuntime runtime(threads);
  runtime.member_weights = member_weights;
  const auto cell = make_cpu_recurrence<S>(runtime, c.cell, c.spec);
  return run_cell(*cell, make_data(c, *cell));
}

template <class S>
void check_threads(const CellCase& c, int64_t member_weights = 1 << 20) {
  const CellResult<S> one = run_on<S>(1, c, member_weights);
  for (const int threads : {2, member_weights == 1 ? 5 : 3}) {
    const CellResult<S> more = run_on<S>(threads, c, member_weights);
    for (const auto& [name, numbers] : one.outputs) {
      if (more.outputs.at(name) != numbers) {
        check::fail(c.name.c_str(), threads, text("threads give other bits of ", name));
      }
    }
    for (const auto& [name, numbers] : one.gradients) {
      if (more.gradients.at(name) != numbers) {
        check::fail(c.name.c_str(), threads,
                    text("threads give other bits of the gradient of ", name));
      }
    }
  }
}

/// 70 rows are at least three tiles of every instruction set, the last one not full. `stride`:
/// every how many-th case.
template <class S>
void check_all(size_t stride) {
  std::vector<CellCase> cases = cell_cases();
  for (size_t i = 0; i < cases.size(); i += stride) {
    cases[i].batch = 70;
    cases[i].steps = 4;
    check_threads<S>(cases[i]);
  }
}

TEST(thread_count_does_not_show_in_float) { check_all<float>(2); }
TEST(thread_count_does_not_show_in_double) { check_all<double>(5); }

/// Enough units for every thread to have some, whole vectors of them or not.
void widen(CellCase& c, bool whole) {
  if (c.cell == "enrnn") {
    c.spec.set("longUnits", 48.0);
    c.spec.set("shortUnits", whole ? 16.0 : 21.0);
  } else {
    c.spec.set("units", whole ? 96.0 : 75.0);
  }
}

/// Whether threads share the rows of a case, which its cell may have no loops for.
bool shares_rows(const CellCase& c) {
  CpuRuntime runtime(5);
  runtime.member_weights = 1;
  PlanCall call;
  call.batch = c.batch;
  call.steps = c.steps;
  const auto cell = make_cpu_recurrence<float>(runtime, c.cell, c.spec);
  const LoopPlan plan = cell->explain(call).front();
  const bool shared = plan.text.find(" of them to a row") != std::string::npos;
  if (plan.driver == "rows" && !shared) check::fail(c.name.c_str(), 5, plan.text);
  return shared;
}

/// One row of all threads, or two of which each has two of five.
TEST(threads_that_share_a_row_do_not_show) {
  int checked = 0, number = 0;
  for (const CellCase& given : cell_cases()) {
    CellCase wide = given;
    wide.batch = 1 + number % 2;
    wide.steps = 9;
    if (wide.cell != "larnn" && wide.cell != "rra") widen(wide, number % 4 < 2);
    ++number;
    if (!shares_rows(wide)) continue;
    if (number % 3 == 0) {
      check_threads<double>(wide, 1);
    } else {
      check_threads<float>(wide, 1);
    }
    ++checked;
  }
  CHECK(checked >= 100);
  std::cout << "     " << checked << " cases\n";
}

/// The model of sizes: a short sequence, a small layer and a full batch are not worth it.
TEST(rows_are_shared_where_it_pays) {
  CpuRuntime runtime(4);
  const auto plan_of = [&runtime](double units, int64_t batch, int64_t steps) {
    Spec spec;
    spec.set("inputSize", 9.0);
    spec.set("units", units);
    PlanCall call;
    call.batch = batch;
    call.steps = steps;
    return make_cpu_recurrence<float>(runtime, "lstm", spec)->explain(call).front().text;
  };
  const auto members = [](const std::string& text, const char* count) {
    return text.find(std::string(count) + " of them to a row") != std::string::npos;
  };
  CHECK(members(plan_of(256, 1, 128), "4 threads, 4"));
  CHECK(members(plan_of(256, 2, 128), "4 threads, 2"));
  CHECK(members(plan_of(128, 1, 128), "2 threads, 2"));
  for (const std::string& text :
       {plan_of(128, 1, 64), plan_of(256, 3, 128), plan_of(96, 1, 256), plan_of(256, 64, 128)})
    CHECK(!members(text, ""));
}

}  // namespace
}  // namespace lookback
