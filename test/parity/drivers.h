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

/// Until it goes, what a test chooses in place of the model of sizes.
class Chosen {
 public:
  explicit Chosen(const BlockChoice& choice) { block_choice() = choice; }
  ~Chosen() { block_choice() = BlockChoice(); }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;
};

template <class S>
CellResult<S> run_on_device(LoneDevice<S>& device, const CellCase& c, const CellData& data,
                            const BlockChoice& choice) {
  const Chosen chosen(choice);
  DeviceCell<S> cell(device.memory(), device.recurrence(c.cell, c.spec));
  return run_cell<S>(cell, data);
}

template <class S>
CellResult<S> run_on_device(const CudaTable& table, const CellCase& c, const CellData& data,
                            const BlockChoice& choice) {
  LoneDevice<S> device(table);
  return run_on_device(device, c, data, choice);
}

/// How a case runs, in words.
template <class S>
std::string plan_of(LoneDevice<S>& device, const CellCase& c, const BlockChoice& choice) {
  const Chosen chosen(choice);
  const auto cell = device.recurrence(c.cell, c.spec);
  return cell->explain({c.batch, c.steps, c.training, {}}).front().text;
}
template <class S>
std::string plan_of(const CudaTable& table, const CellCase& c, const BlockChoice& choice) {
  LoneDevice<S> device(table);
  return plan_of(device, c, choice);
}

/// Whether several blocks have the same rows, each a part of every product.
template <class S>
bool has_clusters(LoneDevice<S>& device, const CellCase& c, const BlockChoice& choice) {
  return plan_of(device, c, choice).find(", each ") != std::string::npos;
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

/// Every block of a cluster writes to all others what it has of a product whose sums nobody cuts,
/// which is another way than that of the small cells: the bits of a single block.
inline void check_wide_clusters(const CudaTable& table) {
  LoneDevice<float> device(table);
  for (const char* kind : {"lstm", "gru"}) {
    for (const int cluster : {2, 4, 8}) {
      CellCase c = {text(kind, ", clusters of ", cluster), kind,
                    spec_of({{"inputSize", 3.0}, {"units", 66.0}}), 7};
      c.lengths = true;
      CpuRuntime runtime(1);
      CellData data = make_data(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
      round_to_float(data);
      const BlockChoice choice = {BlockChoice::kResident, 3, -1, cluster};
      BlockChoice alone = choice;
      alone.cluster = 1;
      CHECK(has_clusters(device, c, choice));
      check_same(c.name, run_on_device(device, c, data, alone),
                 run_on_device(device, c, data, choice));
    }
  }
}

/// Cells by all drivers of a device, beside the CPU.
class DriverCheck {
 public:
  DriverCheck(const CudaTable& for_floats, const CudaTable& for_doubles)
      : for_floats_(for_floats), for_doubles_(for_doubles) {}

  /// By each driver in double, and by number `in_float` of them in float. What one throws is a
  /// failure of its own, and the others go on, unless the device is lost.
  void check(const CellCase& c, const std::vector<DriverChoice>& choices, size_t in_float) {
    CpuRuntime runtime(1);
    const auto cpu = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
    CellData data = make_data(c, *cpu);
    round_to_float(data);
    const CellResult<double> reference = run_cell(*cpu, data);
    const Allowance allowance(data, reference, [&](const CellData& changed_data) {
      return run_cell(*cpu, changed_data);
    });
    // One session for all drivers: on a GPU it costs more than the passes.
    LoneDevice<float> floats(for_floats_);
    LoneDevice<double> doubles(for_doubles_);
    for (size_t d = 0; d < choices.size(); ++d) {
      const auto compare_with = [&](auto& device, Worst& worst) {
        compare(c, choices[d].name, allowance, reference, run(device, c, choices[d], data), worst);
      };
      try {
        compare_with(doubles, doubles_);
        if (d == in_float) compare_with(floats, floats_);
      } catch (const Error& error) {
        check::fail(text(c.name, ", ", choices[d].name).c_str(), 0, error.message());
        if (++thrown_ == kMostThrown || error.message().find("is lost") != std::string::npos) throw;
      }
    }
  }
  void tell_progress(size_t cases) const {
    std::cout << "     after " << cases << " cases: float " << floats_.ratio << ", double "
              << doubles_.ratio << " of the bound at worst" << std::endl;
  }
  void tell() const {
    std::cout << "     " << clusters_ << " passes by clusters\n";
    std::cout << "     float: worst " << floats_.ratio << " of its bound: " << floats_.where << "\n"
              << "     double: worst " << doubles_.ratio << " of its bound: " << doubles_.where
              << std::endl;
  }

 private:
  /// More than that says nothing new.
  static constexpr int kMostThrown = 20;

  template <class S>
  CellResult<S> run(LoneDevice<S>& device, const CellCase& c, const DriverChoice& driver,
                    const CellData& data) {
    CellResult<S> result = run_on_device(device, c, data, driver.choice);
    if (!has_clusters(device, c, driver.choice)) return result;
    // A cluster cuts no sum otherwise than a block does.
    BlockChoice alone = driver.choice;
    alone.cluster = 1;
    check_same(text(c.name, ", ", driver.name), run_on_device(device, c, data, alone), result);
    ++clusters_;
    return result;
  }

  const CudaTable& for_floats_;
  const CudaTable& for_doubles_;
  Worst floats_, doubles_;
  size_t clusters_ = 0;
  int thrown_ = 0;
};

/// `every`: of the cases. Returns how many there were. Tells how far it has come, since a check
/// that is cut short is to have said something. `for_doubles`: null for `table`.
inline size_t check_drivers(const CudaTable& table, size_t every, const std::string& only = "",
                            const std::vector<DriverChoice>& choices = driver_choices(),
                            const CudaTable* for_doubles = nullptr) {
  DriverCheck drivers(table, for_doubles != nullptr ? *for_doubles : table);
  const std::vector<CellCase> cases = cell_cases();
  size_t count = 0;
  for (size_t i = 0; i < cases.size(); i += every) {
    if (cases[i].name.find(only) == std::string::npos) continue;
    drivers.check(cases[i], choices, i / every % choices.size());
    if (++count % 200 == 0) drivers.tell_progress(count);
  }
  drivers.tell();
  return count;
}

}  // namespace lookback
