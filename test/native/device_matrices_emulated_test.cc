/// The matrices that cells make from parameters on a CUDA device, at sizes beyond one block of a
/// factorisation, beside those of the CPU.
#include <memory>
#include <string>

#include "backend/backend.h"
#include "native/cell_run.h"
#include "native/check.h"
#include "native/device_cell.h"

namespace lookback {
namespace {

CellCase case_of(const char* cell, double units) {
  CellCase c{cell, cell, spec_of({{"inputSize", 2.0}, {"units", units}})};
  c.batch = 2;
  c.steps = 2;
  return c;
}

CellData data_of(const CellCase& c) {
  const auto cpu = make_backend<double>(DeviceKind::kCpu, 1);
  return make_data(c, *cpu->recurrence(c.cell, c.spec));
}

template <class S>
CellResult<S> run_on(DeviceKind kind, const CellCase& c, const CellData& data) {
  const auto backend = make_backend<S>(kind, 2);
  DeviceCell<S> cell(backend->memory(), backend->recurrence(c.cell, c.spec));
  return run_cell<S>(cell, data);
}

/// Their numbers are those of the CPU's kernels, whatever the number of threads.
TEST(what_the_host_makes_has_the_bits_of_the_cpu) {
  const CellCase c = case_of("scornn", 70);
  CellData data = data_of(c);
  for (double& entry : data.params.at("A")) entry *= 1e3;
  const CellResult<double> on_cpu = run_on<double>(DeviceKind::kCpu, c, data);
  const CellResult<double> on_device = run_on<double>(DeviceKind::kEmulated, c, data);
  CHECK(on_cpu.outputs.at("W") == on_device.outputs.at("W"));
}

}  // namespace
}  // namespace lookback
