/// All operations, and how one is found by its number.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "backend/cuda/api.h"
#include "backend/cuda/block_tools.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/matrix_operations.h"
#include "backend/cuda/operations.h"

namespace lookback {

template <class... Types>
struct OperationList {};

template <class S>
using Operations =
    OperationList<GemmOp<S>, GemmSumOp<S>, AddBiasOp<S>, SumRowsOp<S>, ActivateOp<S>, SoftmaxOp<S>,
                  ActivateBackwardOp<S>, SoftmaxBackwardOp<S>, DropoutOp<S>, LossOp<S>,
                  LayerNormOp<S>, LayerNormBackwardOp<S>, GatherRowsOp<S>, ScatterRowsOp<S>,
                  PoolOp<S>, PoolBackwardOp<S>, ReverseStepsOp<S>, CopyColumnsOp<S>, CopyRowsOp<S>,
                  ReadIndicesOp<S>, WeighTermsOp<S>, FillOp<S>, AddOp<S>, SumSquaresOp<S>,
                  UpdateOp<S>, BlasGemmOp<S>>;

/// Those of recurrences, which their own part of a library launches.
template <class S>
using RecurrentOperations =
    OperationList<MovesOp<S>, ColumnSumsOp<S>, InputOp<S>, MasksOp<S>, StatisticsOp<S>,
                  ExponentialsOp<S>, LoopOp<S>, ReadSkewOp<S>, CombineOp<S>, LoadOp<S>, StoreOp<S>,
                  WriteScaledOp<S>, WriteUnitaryOp<S>, ReadScaledGradientOp<S>,
                  ReadUnitaryGradientOp<S>, AddSkewGradientOp<S>, AddUnitaryGradientOp<S>,
                  AddPhaseGradientOp<S>>;

template <class... Types>
constexpr uint64_t mix_sizes(OperationList<Types...>, uint64_t seed) {
  ((seed = seed * 1099511628211u + sizeof(Types)), ...);
  return seed;
}

/// The sizes of everything that crosses the table, folded into one number: a library that was built
/// from other sources shows.
constexpr uint64_t cuda_layout() {
  uint64_t seed = kCudaApiVersion;
  for (const uint64_t size :
       {sizeof(CudaTable), sizeof(CudaFault), sizeof(CudaDeviceInfo), sizeof(CudaBlasInfo)})
    seed = seed * 1099511628211u + size;
  seed = mix_sizes(Operations<double>(), mix_sizes(Operations<float>(), seed));
  return mix_sizes(RecurrentOperations<double>(), mix_sizes(RecurrentOperations<float>(), seed));
}

/// Calls run(op) with the operation's own type. False where there is none of that number and size.
template <class Run, class... Types>
bool with_operation(OperationList<Types...>, int32_t operation, const void* arguments,
                    int64_t bytes, const Run& run) {
  const auto try_one = [&]<class Op>(const Op*) {
    if (operation != Op::kId || bytes != static_cast<int64_t>(sizeof(Op))) return false;
    Op op;
    std::memcpy(&op, arguments, sizeof(Op));
    run(op);
    return true;
  };
  return (try_one(static_cast<const Types*>(nullptr)) || ...);
}

}  // namespace lookback
