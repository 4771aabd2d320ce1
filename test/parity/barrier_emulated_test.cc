/// Every barrier of the GPU's kernels is needed, and its absence is noticed: with the threads of a
/// block one after another from barrier to barrier, in either order, the results have the same bits
/// as with all of them; with any kind of barrier left out, some number is another one.
#if defined(__SANITIZE_THREAD__)
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cstdlib>
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
  const BlockChoice cluster = {BlockChoice::kResident, 3, -1, 2};
  const BlockChoice steps = {BlockChoice::kStepwise, 3, -1};
  return {{lstm, near},    {lstm, far},      {batch, near}, {larnn, near},
          {lstm, cluster}, {batch, cluster}, {batch, steps}};
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

#if defined(__SANITIZE_THREAD__)
/// Whether a child process that leaves that barrier out ends with a report. ThreadSanitizer does
/// not follow fibers across a fork, so the parent must have made none yet.
bool is_missed(const Program& program, SyncSite site) {
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    try {
      results(program, {false, site});
    } catch (const Error&) {  // blocks that do not agree wait for each other for ever
      std::exit(1);
    }
    std::exit(0);  // ThreadSanitizer makes another code of it after a report
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}
#else
/// Whether some number is another one without that barrier; those that are not finite always are.
bool is_missed(const Program& program, SyncSite site) {
  const std::vector<Numbers> expected = results(program, {});
  try {
    return results(program, {false, site}) != expected ||
           results(program, {true, site}) != expected;
  } catch (const Error&) {  // blocks that do not agree wait for each other for ever
    emulated_schedule() = EmulatedSchedule();
    return true;
  }
}
#endif

TEST(every_barrier_is_missed) {
  for (int site = 0; site < static_cast<int>(SyncSite::kCount); ++site) {
    bool missed = false;
    for (const Program& program : programs())
      missed = missed || is_missed(program, static_cast<SyncSite>(site));
    if (!missed) check::fail("barrier", site, "nobody misses it");
  }
}

TEST(nothing_is_missed_where_all_are_there) {
  for (const Program& program : programs()) CHECK(!is_missed(program, SyncSite::kCount));
}

TEST(results_do_not_depend_on_the_order_of_threads) {
  for (const Program& program : programs())
    CHECK(results(program, {true, SyncSite::kCount}) == results(program, {}));
}

/// Blocks that wait for each other leave at the same step: some at another one would wait for ever,
/// which is a fault. (Launches of single steps do not look.)
TEST(all_blocks_stop_together) {
  for (const Program& program : programs()) {
    if (program.choice.driver == BlockChoice::kStepwise) continue;
    const std::vector<Numbers> whole = results(program, {});
    for (const int looks : {0, 1, 2})
      CHECK(results(program, {false, SyncSite::kCount, looks}) != whole);
  }
}

}  // namespace
}  // namespace lookback
