/// Losses and the work of layers that goes row by row (norms, tables, pooling) on the CPU.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/threads.h"

namespace lookback {

/// Implements the rowwise part of `Backend`, with results that do not depend on the number of
/// threads.
template <class S>
class CpuRows : public Backend<S> {
 public:
  LossSum loss(const LossCall<S>& call) override;
  void layer_norm(const LayerNorm<S>& norm, S* y) override;
  void layer_norm_backward(const LayerNorm<S>& norm, S* dy, S* dx) override;
  void gather_rows(int64_t count, int64_t cols, const int32_t* index, const S* table,
                   S* y) override;
  void scatter_rows(int64_t count, int64_t cols, const int32_t* index, const S* y,
                    int64_t table_rows, S* table) override;
  void pool(const Pool<S>& pool, S* y) override;
  void pool_backward(const Pool<S>& pool, const S* dy, S* dx) override;
  void reverse_steps(int64_t batch, int64_t steps, int64_t features, const int32_t* lengths,
                     const S* x, S* y) override;
  void copy_columns(int64_t rows, int64_t cols, const S* from, int64_t from_row, S* to,
                    int64_t to_row) override;
  void copy_rows(const uint32_t* rows, int64_t first, int64_t count,
                 const std::vector<RowCopy>& parts) override;
  int64_t read_indices(const IndexRead<S>& read, int32_t* index) override;
  TermSum weigh_terms(const TermWeights<S>& terms, S* out) override;
  void fill(int64_t n, S value, S* y) override;
  void add(int64_t n, const S* x, S* y) override;

 protected:
  explicit CpuRows(int threads) : runtime_(threads) {}

  CpuRuntime runtime_;
};

}  // namespace lookback
