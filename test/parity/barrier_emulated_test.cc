/// Every barrier of the GPU's kernels is needed, and its absence is noticed: with the threads of a
/// block one after another from barrier to barrier, in either order, the results have the same bits
/// as with all of them; with any kind of barrier left out, some number is another one.
#include <vector>

#include "backend/cuda/emulated.h"
#include "backend/cuda/emulated_session.h"
#include "parity/drivers.h"

namespace lookback {
namespace {

/// Cells and plans that together use every kind of barrier.
struct Program {
  CellCase c;
  BlockChoice choice;
};

std::vector<Program> programs() {
  CellCase lstm = lstm_case("rows"), batch = simple_case("bnlstm", "default", {{"tMax", 6.0}});
  lstm.batch = batch.batch = 7;
  lstm.steps = batch.steps = 3;
  CellCase larnn = larnn_case("none", "window");
  larnn.steps = 6;
  const BlockChoice near = {BlockChoice::kResident, 3, -1}, far = {BlockChoice::kResident, 3, 0};
  return {{lstm, near}, {lstm, far}, {batch, near}, {larnn, near}};
}

using Numbers = Arrays<double>;

std::vector<Numbers> results(const Program& program, EmulatedSchedule schedule) {
  CpuRuntime runtime(1);
  const CellData data =
      make_data(program.c, *make_cpu_recurrence<double>(runtime, program.c.cell, program.c.spec));
  emulated_schedule() = schedule;
  const CellResult<double> result =
      run_on_device<double>(emulated_cuda_table(), program.c, data, program.choice);
  emulated_schedule() = EmulatedSchedule();
  return {result.outputs, result.gradients};
}

TEST(results_do_not_depend_on_the_order_of_threads) {
  for (const Program& program : programs())
    CHECK(results(program, {true, SyncSite::kCount}) == results(program, {}));
}

/// ThreadSanitizer would end the program at the first barrier left out, which is what it is for.
#if !defined(__SANITIZE_THREAD__)
TEST(every_barrier_is_missed) {
  for (int site = 0; site < static_cast<int>(SyncSite::kCount); ++site) {
    bool noticed = false;
    for (const Program& program : programs()) {
      const std::vector<Numbers> expected = results(program, {});
      for (const bool descending : {false, true}) {
        // Numbers that are not finite differ from everything.
        noticed =
            noticed || results(program, {descending, static_cast<SyncSite>(site)}) != expected;
      }
      if (noticed) break;
    }
    if (!noticed) check::fail("barrier", site, "nobody misses it");
  }
}
#endif

}  // namespace
}  // namespace lookback
