/// The operations of recurrences, found by their numbers as those of operation_list.h.
#pragma once

#include "backend/cuda/block_tools.h"
#include "backend/cuda/operation_list.h"

namespace lookback {

template <class S>
using RecurrentOperations =
    OperationList<MovesOp<S>, ColumnSumsOp<S>, InputOp<S>, MasksOp<S>, StatisticsOp<S>,
                  ExponentialsOp<S>, LoopOp<S>>;

}  // namespace lookback
