/// A CUDA device as a backend, over the table of api.h: a GPU's, or that on the host.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "base/arena.h"

namespace lookback {

/// All of `Backend` but the recurrences. Sums are formed in an order that depends on the arrays'
/// sizes and the device only. Products and elementwise work are queued; what gives a number back
/// waits for it.
template <class S>
class CudaBackend : public Backend<S> {
 public:
  /// `table` outlives this. ERR_DEVICE, ERR_MEMORY.
  explicit CudaBackend(const CudaTable& table);

  int threads() const override { return 1; }
  MemorySpace& memory() override { return device_; }
  void set_cancel(const std::atomic<bool>* cancel) override { device_.set_cancel(cancel); }

  void gemm(const Gemm<S>& g) override;
  void add_bias(int64_t rows, int64_t cols, const S* bias, S* y) override;
  void sum_rows(int64_t rows, int64_t cols, const S* x, S* out) override;
  void activate(Activation kind, int64_t rows, int64_t cols, S* y) override;
  void activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y, S* dy) override;
  void dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols, const S* x,
               S* y) override;
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
  double sum_squares(int64_t n, const S* x) override;
  void update(const OptimizerStep<S>& step) override;

 protected:
  CudaDevice device_;

 private:
  template <class Op>
  void launch(const Op& op) {
    device_.launch<S>(Op::kId, op);
  }
  const int32_t* upload_lengths(const int32_t* lengths, int64_t count);
  /// What the blocks of a reduction have left in `sums_`, added in order: `parts` numbers.
  void add_partials(int parts, double* totals);

  Buffer<double> sums_;
  Buffer<int64_t> wrong_;
  Buffer<int32_t> lengths_;
  Buffer<uint32_t> rows_;
  Buffer<double> quantiles_;
  Buffer<S> slices_;
  std::vector<int32_t> uploaded_;  ///< what `lengths_` holds
};

}  // namespace lookback
