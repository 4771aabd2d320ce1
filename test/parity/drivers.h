/// Every cell and driver of a CUDA device beside the CPU, up to rounding, in float and double: for
/// the device on the host, and for a GPU.
#pragma once

#include <iterator>
#include <memory>

#include "backend/cpu/kernels.h"
#include "backend/cpu/recurrence.h"
#include "backend/cuda/block_plan.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/recurrence.h"
#include "native/device_cell.h"
#include "parity/parity.h"

namespace lookback {

/// A device on its own, without the rest of a model.
template <class S>
class LoneDevice final : public CudaBackend<S> {
 public:
  using CudaBackend<S>::CudaBackend;
  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override {
    const Multiply multiply = [this](const Gemm<double>& g) { cpu_gemm(g, pool_); };
    return make_cuda_recurrence<S>(*this, this->device_, multiply, kind, spec);
  }

 private:
  ThreadPool pool_{1};
};

struct DriverChoice {
  const char* name;
  BlockChoice choice;
};

/// Ways that the model of sizes would not take for sizes this small.
inline const std::vector<DriverChoice>& driver_choices() {
  static const std::vector<DriverChoice> choices = {
      {"as the model says", {}},
      {"resident, 3 rows", {BlockChoice::kResident, 3, -1}},
      {"resident, without shared memory", {BlockChoice::kResident, 2, 0}},
      {"resident, little shared memory", {BlockChoice::kResident, 5, 17000}},
      {"stepwise", {BlockChoice::kStepwise, 2, -1}},
      {"clusters of 2", {BlockChoice::kResident, 3, -1, 2}},
      {"clusters of 4, little shared memory", {BlockChoice::kResident, 2, 26000, 4}},
  };
  return choices;
}

template <class S>
void check_same(const std::string& what, const CellResult<S>& first, const CellResult<S>& second) {
  for (const auto& [one, other] : {std::pair(&first.outputs, &second.outputs),
                                   std::pair(&first.gradients, &second.gradients)}) {
    CHECK_EQUAL(one->size(), other->size());
    for (const auto& [name, numbers] : *one) {
      if (numbers == other->at(name)) continue;
      std::cout << "     " << what << ", " << name << "\n";
      CHECK(numbers == other->at(name));
    }
  }
}

template <class S>
CellResult<S> run_on_device(const CudaTable& table, const CellCase& c, const CellData& data,
                            const BlockChoice& choice) {
  block_choice() = choice;
  LoneDevice<S> device(table);
  DeviceCell<S> cell(device.memory(), device.recurrence(c.cell, c.spec));
  CellResult<S> result = run_cell<S>(cell, data);
  block_choice() = BlockChoice();
  return result;
}

/// Whether several blocks have the same rows, as cells with rows that meet do not.
template <class S>
bool has_clusters(const CudaTable& table, const CellCase& c, const BlockChoice& choice) {
  block_choice() = choice;
  LoneDevice<S> device(table);
  const auto cell = device.recurrence(c.cell, c.spec);
  const std::string plan = cell->explain({c.batch, c.steps, true, {}}).front().text;
  block_choice() = BlockChoice();
  return plan.find(" cluster") != std::string::npos;
}

/// Weights that stay in registers give the bits that weights in shared memory give: blocks of one
/// to several groups of rows, sums that are cut and sums that are not.
inline void check_held(const CudaTable& table) {
  for (const char* kind : {"lstm", "rnn", "rra", "scornn", "exprnn", "scurnn"}) {
    for (const int rows : {1, 2, 3, 8, 11}) {
      CellCase c = {text(kind, ", ", rows, " rows a block"), kind,
                    spec_of({{"inputSize", 3.0}, {"units", rows < 8 ? 8.0 : 64.0}}), 11};
      c.entries = 1;
      c.lengths = true;
      CpuRuntime runtime(1);
      const auto cpu = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
      CellData data = make_data(c, *cpu);
      round_to_float(data);
      BlockChoice held = {BlockChoice::kResident, rows, -1}, shared = held;
      shared.hold = false;
      const CellResult<float> first = run_on_device<float>(table, c, data, held);
      const CellResult<float> second = run_on_device<float>(table, c, data, shared);
      check_same(c.name, first, second);
    }
  }
}

/// Each case by each driver in double, and by one after the other in float. `every`: of the cases.
inline void check_drivers(const CudaTable& table, size_t every, const std::string& only = "",
                          const std::vector<DriverChoice>& choices = driver_choices()) {
  Worst floats, doubles;
  const std::vector<CellCase> cases = cell_cases();
  size_t clusters = 0;
  for (size_t i = 0; i < cases.size(); i += every) {
    const CellCase& c = cases[i];
    if (c.name.find(only) == std::string::npos) continue;
    CpuRuntime runtime(1);
    const auto cpu = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
    CellData data = make_data(c, *cpu);
    round_to_float(data);
    const CellResult<double> reference = run_cell(*cpu, data);
    const Allowance allowance(data, reference, [&](const CellData& changed_data) {
      return run_cell(*cpu, changed_data);
    });
    for (size_t d = 0; d < choices.size(); ++d) {
      const auto& [name, choice] = choices[d];
      BlockChoice alone = choice;
      alone.cluster = 1;
      const CellResult<double> result = run_on_device<double>(table, c, data, choice);
      compare(c, name, allowance, reference, result, doubles);
      const bool has = choice.cluster > 0 && has_clusters<double>(table, c, choice);
      // A cluster cuts no sum otherwise than a block does.
      if (has)
        check_same(text(c.name, ", ", name), run_on_device<double>(table, c, data, alone), result);
      clusters += has ? 1 : 0;
      if (i / every % choices.size() != d) continue;
      const CellResult<float> rounded = run_on_device<float>(table, c, data, choice);
      compare(c, name, allowance, reference, rounded, floats);
      if (choice.cluster > 0)
        check_same(text(c.name, ", ", name), run_on_device<float>(table, c, data, alone), rounded);
    }
  }
  std::cout << "     " << clusters << " passes by clusters\n";
  std::cout << "     float: worst " << floats.ratio << " of its bound: " << floats.where << "\n"
            << "     double: worst " << doubles.ratio << " of its bound: " << doubles.where << "\n";
}

}  // namespace lookback
