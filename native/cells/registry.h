/// The one list of cells. A key may stand for several types: the first whose `accepts` says yes is taken.
#pragma once

#include "cells/lstm.h"

namespace lookback {

template <class... Types>
struct CellList {
  static constexpr int kSize = sizeof...(Types);
};

using Cells = CellList<Lstm>;

}  // namespace lookback
