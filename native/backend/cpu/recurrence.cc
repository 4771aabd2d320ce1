#include "backend/cpu/recurrence.h"

#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/kernels.h"
#include "backend/layer_stack.h"
#include "backend/segmented.h"

namespace lookback {
template <class S>
std::unique_ptr<Recurrence<S>> make_cpu_recurrence(CpuRuntime& runtime, const std::string& cell,
                                                   const Spec& spec) {
  const DriverTable<S>& kernels = cpu_kernels<S>();
  CellInstance instance = instantiate_cell(cell, spec);
  std::unique_ptr<Recurrence<S>> whole;
  if (instance.layered) {
    const auto make_layer = [&runtime, &kernels, cell](const Spec& one) {
      return std::unique_ptr<Recurrence<S>>(
          std::make_unique<CellRecurrence<S>>(runtime, kernels, instantiate_cell(cell, one)));
    };
    whole = std::make_unique<LayerStack<S>>(make_layer, ArraySpace<S>(), cell, spec);
  } else {
    whole = std::make_unique<CellRecurrence<S>>(runtime, kernels, std::move(instance));
  }
  return std::make_unique<SegmentedRecurrence<S>>(std::move(whole));
}

template std::unique_ptr<Recurrence<float>> make_cpu_recurrence(CpuRuntime&, const std::string&,
                                                                const Spec&);
template std::unique_ptr<Recurrence<double>> make_cpu_recurrence(CpuRuntime&, const std::string&,
                                                                 const Spec&);

}  // namespace lookback
