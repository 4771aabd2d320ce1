/// One, two and three threads compute the same bits: outputs, row gradients and weight gradients of
/// every case, in both number types.
#include <vector>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

template <class S>
CellResult<S> run_on(int threads, const CellCase& c) {
  CpuRuntime runtime(threads);
  const auto cell = make_cpu_recurrence<S>(runtime, c.cell, c.spec);
  return run_cell(*cell, make_data(c, *cell));
}

template <class S>
void check_threads(const CellCase& c) {
  const CellResult<S> one = run_on<S>(1, c);
  for (const int threads : {2, 3}) {
    const CellResult<S> more = run_on<S>(threads, c);
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

}  // namespace
}  // namespace lookback
