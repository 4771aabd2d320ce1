#include "backend/cuda/cuda_backend.h"

#include <algorithm>

#include "backend/cuda/blas.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/operations.h"
#include "base/error.h"
#include "ops/update_numbers.h"

namespace lookback {
namespace {

/// Fewer tiles than this leave most of a GPU idle, so the slices of k go to blocks of their own.
constexpr int64_t kManyTiles = 256;

}  // namespace

template <class S>
CudaBackend<S>::CudaBackend(const CudaTable& table)
    : device_(table),
      sums_(3 * kReduceBlocks, "sums", device_),
      wrong_(kReduceBlocks, "sums", device_),
      lengths_(device_),
      rows_(device_),
      quantiles_(device_),
      slices_(device_) {}

template <class S>
void CudaBackend<S>::gemm(const Gemm<S>& g) {
  device_.check_cancel();
  if (g.m == 0 || g.n == 0) return;
  if (blas_gains(g) && blas_shape(g) && device_.blas().used != 0) return launch(BlasGemmOp<S>{g});
  const int64_t slices = gemm_slices(g);
  if (slices == 1 || gemm_tiles<S, GpuGemmTile>(g) >= kManyTiles)
    return launch(GemmOp<S>{g, nullptr});
  const int64_t size = checked_mul(checked_mul(slices, g.m, "a product"), g.n, "a product");
  slices_.ensure(size, "a product");
  launch(GemmOp<S>{g, slices_.data()});
  launch(GemmSumOp<S>{g, slices_.data()});
}

template <class S>
void CudaBackend<S>::add_bias(int64_t rows, int64_t cols, const S* bias, S* y) {
  launch(AddBiasOp<S>{rows, cols, bias, y});
}

template <class S>
void CudaBackend<S>::sum_rows(int64_t rows, int64_t cols, const S* x, S* out) {
  launch(SumRowsOp<S>{rows, cols, x, out});
}

template <class S>
void CudaBackend<S>::activate(Activation kind, int64_t rows, int64_t cols, S* y) {
  if (kind == Activation::kLinear) return;
  if (kind == Activation::kSoftmax) return launch(SoftmaxOp<S>{rows, cols, y});
  launch(ActivateOp<S>{kind, rows * cols, y});
}

template <class S>
void CudaBackend<S>::activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y,
                                       S* dy) {
  if (kind == Activation::kLinear) return;
  if (kind == Activation::kSoftmax) return launch(SoftmaxBackwardOp<S>{rows, cols, y, dy});
  launch(ActivateBackwardOp<S>{kind, rows * cols, y, dy});
}

template <class S>
void CudaBackend<S>::dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols,
                             const S* x, S* y) {
  const PhiloxKey stream = dropout_stream(key.seed, key.step, key.layer);
  launch(DropoutOp<S>{stream, rate, rows, cols, x, y});
}

template <class S>
void CudaBackend<S>::add_partials(int parts, double* totals) {
  double partial[3 * kReduceBlocks];
  device_.copy_out(sums_.data(), int64_t{parts} * kReduceBlocks, partial);
  for (int k = 0; k < parts; ++k) {
    totals[k] = 0;
    for (int block = 0; block < kReduceBlocks; ++block) totals[k] += partial[block * parts + k];
  }
}

template <class S>
LossSum CudaBackend<S>::loss(const LossCall<S>& call) {
  REQUIRE(call.kind == LossKind::kSoftmaxCrossEntropy ||
              (call.target_size >= 1 && call.outputs % call.target_size == 0),
          kInternal, call.outputs, " outputs do not go with ", call.target_size, " targets");
  LossCall<S> own = call;
  if (call.kind == LossKind::kQuantile) {
    const int64_t count = call.outputs / call.target_size;
    quantiles_.ensure(count, "quantiles");
    device_.copy_in(call.quantiles, count, quantiles_.data());
    own.quantiles = quantiles_.data();
  }
  launch(LossOp<S>{own, sums_.data()});
  double totals[3];
  add_partials(3, totals);
  return {totals[0], totals[1], totals[2]};
}

template <class S>
void CudaBackend<S>::layer_norm(const LayerNorm<S>& norm, S* y) {
  launch(LayerNormOp<S>{norm, y});
}

template <class S>
void CudaBackend<S>::layer_norm_backward(const LayerNorm<S>& norm, S* dy, S* dx) {
  launch(LayerNormBackwardOp<S>{norm, dy, dx});
}

template <class S>
void CudaBackend<S>::gather_rows(int64_t count, int64_t cols, const int32_t* index, const S* table,
                                 S* y) {
  launch(GatherRowsOp<S>{count, cols, index, table, y});
}

template <class S>
void CudaBackend<S>::scatter_rows(int64_t count, int64_t cols, const int32_t* index, const S* y,
                                  int64_t table_rows, S* table) {
  launch(ScatterRowsOp<S>{count, cols, table_rows, index, y, table});
}

/// The lengths of a batch are asked for by several layers; they travel once.
template <class S>
const int32_t* CudaBackend<S>::upload_lengths(const int32_t* lengths, int64_t count) {
  if (lengths == nullptr) return nullptr;
  const bool same = static_cast<int64_t>(uploaded_.size()) == count &&
                    std::equal(lengths, lengths + count, uploaded_.begin());
  if (same) return lengths_.data();
  uploaded_.clear();
  lengths_.ensure(count, "lengths");
  device_.copy_in(lengths, count, lengths_.data());
  uploaded_.assign(lengths, lengths + count);
  return lengths_.data();
}

template <class S>
void CudaBackend<S>::pool(const Pool<S>& pool, S* y) {
  Pool<S> own = pool;
  own.lengths = upload_lengths(pool.lengths, pool.batch);
  launch(PoolOp<S>{own, y});
}

template <class S>
void CudaBackend<S>::pool_backward(const Pool<S>& pool, const S* dy, S* dx) {
  Pool<S> own = pool;
  own.lengths = upload_lengths(pool.lengths, pool.batch);
  launch(PoolBackwardOp<S>{own, dy, dx});
}

template <class S>
void CudaBackend<S>::reverse_steps(int64_t batch, int64_t steps, int64_t features,
                                   const int32_t* lengths, const S* x, S* y) {
  launch(ReverseStepsOp<S>{batch, steps, features, upload_lengths(lengths, batch), x, y});
}

template <class S>
void CudaBackend<S>::copy_columns(int64_t rows, int64_t cols, const S* from, int64_t from_row,
                                  S* to, int64_t to_row) {
  launch(CopyColumnsOp<S>{rows, cols, from_row, to_row, from, to});
}

template <class S>
void CudaBackend<S>::copy_rows(const uint32_t* rows, int64_t first, int64_t count,
                               const std::vector<RowCopy>& parts) {
  const uint32_t* numbers = nullptr;
  if (rows != nullptr) {
    rows_.ensure(count, "row numbers");
    device_.copy_in(rows, count, rows_.data());
    numbers = rows_.data();
  }
  for (const RowCopy& part : parts) {
    launch(CopyRowsOp<S>{first, count, part.row_bytes / 4, numbers,
                         static_cast<const uint32_t*>(part.from), static_cast<uint32_t*>(part.to)});
  }
}

template <class S>
int64_t CudaBackend<S>::read_indices(const IndexRead<S>& read, int32_t* index) {
  IndexRead<S> own = read;
  if (read.lengths != nullptr) own.lengths = upload_lengths(read.lengths, read.count / read.steps);
  launch(ReadIndicesOp<S>{own, index, wrong_.data()});
  int64_t wrong[kReduceBlocks];
  device_.copy_out(wrong_.data(), kReduceBlocks, wrong);
  const int64_t first = *std::min_element(wrong, wrong + kReduceBlocks);
  return first < read.count ? first : -1;
}

template <class S>
TermSum CudaBackend<S>::weigh_terms(const TermWeights<S>& terms, S* out) {
  TermWeights<S> own = terms;
  own.lengths = upload_lengths(terms.lengths, terms.terms / terms.steps);
  launch(WeighTermsOp<S>{own, out, sums_.data()});
  double totals[2];
  add_partials(2, totals);
  return {totals[0], totals[1]};
}

template <class S>
void CudaBackend<S>::fill(int64_t n, S value, S* y) {
  launch(FillOp<S>{n, value, y});
}

template <class S>
void CudaBackend<S>::add(int64_t n, const S* x, S* y) {
  launch(AddOp<S>{n, x, y});
}

template <class S>
double CudaBackend<S>::sum_squares(int64_t n, const S* x) {
  launch(SumSquaresOp<S>{n, x, sums_.data()});
  double total = 0;
  add_partials(1, &total);
  return total;
}

template <class S>
void CudaBackend<S>::update(const OptimizerStep<S>& step) {
  launch(UpdateOp<S>{step.kind,
                     step.n,
                     fold_step(step),
                     step.param,
                     step.grad,
                     {step.slot0, step.slot1, step.slot2}});
}

template class CudaBackend<float>;
template class CudaBackend<double>;

}  // namespace lookback
