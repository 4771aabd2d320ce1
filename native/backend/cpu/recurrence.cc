#include "backend/cpu/recurrence.h"

#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/layer_stack.h"
#include "backend/cpu/segmented.h"
#include "base/error.h"
#include "cells/registry.h"

namespace lookback {
namespace {

template <class Cell>
bool try_cell(const std::string& key, const Spec& spec, CellInstance& out) {
  if (key != Cell::kKey || !Cell::accepts(spec)) return false;
  auto cell = std::make_shared<Cell>(Cell::declare(spec, out.declaration));
  out.cell = cell;
  out.bytes = sizeof(Cell);
  out.key = key;
  out.layered = Cell::kLayered;
  return true;
}

template <class... Types>
bool try_cells(CellList<Types...>, const std::string& key, const Spec& spec, CellInstance& out) {
  // Stops at the first that accepts; `index` then is its place in the list.
  return ((try_cell<Types>(key, spec, out) || (++out.index, false)) || ...);
}

template <class S>
const DriverTable<S>& kernels_of(DeviceKind device) {
  if (device == DeviceKind::kCpu) return cpu_kernels<S>();
#if defined(LOOKBACK_EMULATED)
  return emulated_kernels<S>();
#else
  fail(ErrorCode::kDevice, "device 'emulated' exists in the test build only; use 'cpu'");
#endif
}

}  // namespace

CellInstance instantiate_cell(const std::string& key, const Spec& spec) {
  CellInstance instance;
  REQUIRE(try_cells(Cells(), key, spec, instance), kOption, "unknown cell '", key, "'");
  return instance;
}

template <class S>
std::unique_ptr<Recurrence<S>> make_cpu_recurrence(CpuRuntime& runtime, DeviceKind device,
                                                   const std::string& cell, const Spec& spec) {
  const DriverTable<S>& kernels = kernels_of<S>(device);
  CellInstance instance = instantiate_cell(cell, spec);
  std::unique_ptr<Recurrence<S>> whole;
  if (instance.layered) {
    whole = std::make_unique<LayerStack<S>>(runtime, kernels, cell, spec);
  } else {
    whole = std::make_unique<CellRecurrence<S>>(runtime, kernels, std::move(instance));
  }
  return std::make_unique<SegmentedRecurrence<S>>(std::move(whole));
}

template std::unique_ptr<Recurrence<float>> make_cpu_recurrence(CpuRuntime&, DeviceKind,
                                                                const std::string&, const Spec&);
template std::unique_ptr<Recurrence<double>> make_cpu_recurrence(CpuRuntime&, DeviceKind,
                                                                 const std::string&, const Spec&);

}  // namespace lookback
