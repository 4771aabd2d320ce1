/// The GPU's kernel bodies on host threads compute what the CPU computes, up to rounding, for every
/// cell and driver, in float and double.
#include <memory>

#include "backend/cpu/recurrence.h"
#include "backend/cuda/block_plan.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/emulated_session.h"
#include "backend/cuda/recurrence.h"
#include "native/device_cell.h"
#include "parity/parity.h"

namespace lookback {
namespace {

/// A device whose recurrences are its own.
template <class S>
class Device final : public CudaBackend<S> {
 public:
  Device() : CudaBackend<S>(emulated_cuda_table()) {}
  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override {
    return make_cuda_recurrence<S>(*this, this->device_, kind, spec);
  }
};

struct Driver {
  const char* name;
  BlockChoice choice;
};

template <class S>
CellResult<S> run_on_device(const CellCase& c, const CellData& data, const BlockChoice& choice) {
  block_choice() = choice;
  Device<S> device;
  DeviceCell<S> cell(device.memory(), device.recurrence(c.cell, c.spec));
  CellResult<S> result = run_cell<S>(cell, data);
  block_choice() = BlockChoice();
  return result;
}

TEST(drivers_agree_with_the_cpu) {
  const Driver drivers[] = {
      {"resident", {BlockChoice::kResident, 3, -1}},
      {"resident without shared memory", {BlockChoice::kResident, 2, 0}},
      {"resident with little shared memory", {BlockChoice::kResident, 5, 17000}},
  };
  Worst floats, doubles;
  const std::vector<CellCase> cases = cell_cases();
  for (size_t i = 0; i < cases.size(); i += kEvery) {
    const CellCase& c = cases[i];
    CpuRuntime runtime(1);
    const auto cpu = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
    CellData data = make_data(c, *cpu);
    round_to_float(data);
    const CellResult<double> reference = run_cell(*cpu, data);
    const Allowance allowance(data, reference, [&](const CellData& changed_data) {
      return run_cell(*cpu, changed_data);
    });
    for (size_t d = 0; d < std::size(drivers); ++d) {
      const Driver& driver = drivers[d];
      compare(c, driver.name, allowance, reference, run_on_device<double>(c, data, driver.choice),
              doubles);
      if (i % std::size(drivers) != d) continue;
      compare(c, driver.name, allowance, reference, run_on_device<float>(c, data, driver.choice),
              floats);
    }
  }
  std::cout << "     float: worst " << floats.ratio << " of its bound: " << floats.where << "\n"
            << "     double: worst " << doubles.ratio << " of its bound: " << doubles.where
            << "\n";
}

}  // namespace
}  // namespace lookback
