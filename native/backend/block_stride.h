/// Where a rectangle of a linear lies in the weight that it comes from.
#pragma once

#include <cstdint>

#include "cells/cell.h"

namespace lookback {

/// Entry (r, c) of the rectangle is at begin + r * row + c * column.
struct BlockStride {
  int64_t begin, row, column;
};

inline BlockStride stride_of(const Declaration& d, const LinearBlock& b) {
  const int64_t columns = d.shape_of(b.param).back();
  const int64_t begin = b.param_row * columns + b.param_col;
  return b.transposed ? BlockStride{begin, 1, columns} : BlockStride{begin, columns, 1};
}

}  // namespace lookback
