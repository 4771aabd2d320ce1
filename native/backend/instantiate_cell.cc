#include "backend/cell_host.h"
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

}  // namespace

CellInstance instantiate_cell(const std::string& key, const Spec& spec) {
  CellInstance instance;
  REQUIRE(try_cells(Cells(), key, spec, instance), kOption, "unknown cell '", key, "'");
  return instance;
}

}  // namespace lookback
