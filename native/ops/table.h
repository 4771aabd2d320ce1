/// Numbers of a table's rows, given as floats.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "ops/calls.h"

namespace lookback {

/// Behind a row's length anything may stand; there row 0 is taken, whose gradient is 0. False, and
/// row 0, where entry i is no row of the table.
template <class S>
HD bool read_index(const IndexRead<S>& read, int64_t i, int32_t* index) {
  const bool behind = read.lengths != nullptr && i % read.steps >= read.lengths[i / read.steps];
  const S value = behind ? S(0) : read.x[i];
  const bool inside = value >= S(0) && value < static_cast<S>(read.rows);
  const auto row = inside ? static_cast<int32_t>(value) : 0;
  index[i] = row;
  return inside && static_cast<S>(row) == value;
}

}  // namespace lookback
