#include "backend/cpu/rows.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/pieces.h"
#include "base/error.h"
#include "ops/layer_norm.h"
#include "ops/loss_terms.h"
#include "ops/pool.h"
#include "ops/table.h"

namespace lookback {
namespace {

struct PartialLoss {
  LossSum sum;
  PartialLoss operator+(const PartialLoss& other) const {
    return {
        {sum.loss + other.sum.loss, sum.hits + other.sum.hits, sum.absolute + other.sum.absolute}};
  }
};

}  // namespace

template <class S>
LossSum CpuRows<S>::loss(const LossCall<S>& call) {
  REQUIRE(call.kind == LossKind::kSoftmaxCrossEntropy ||
              (call.target_size >= 1 && call.outputs % call.target_size == 0),
          kInternal, call.outputs, " outputs do not go with ", call.target_size, " targets");
  const auto some = [&](int64_t begin, int64_t end) {
    PartialLoss sum;
    for (int64_t r = begin; r < end; ++r) sum = sum + PartialLoss{term_loss(call, r)};
    return sum;
  };
  return reduce<PartialLoss>(runtime_, call.terms, rows_per_piece(call.outputs), some).sum;
}

template <class S>
void CpuRows<S>::layer_norm(const LayerNorm<S>& norm, S* y) {
  for_rows(runtime_, norm.rows, norm.cols, [&](int64_t r) {
    const int64_t at = r * norm.cols;
    layer_norm_row(norm.cols, norm.x + at, norm.epsilon, norm.gain, norm.bias, y + at);
  });
}

template <class S>
void CpuRows<S>::layer_norm_backward(const LayerNorm<S>& norm, S* dy, S* dx) {
  for_rows(runtime_, norm.rows, norm.cols, [&](int64_t r) {
    const int64_t at = r * norm.cols;
    layer_norm_row_backward(norm.cols, norm.x + at, norm.epsilon, norm.gain, dy + at,
                            dx == nullptr ? nullptr : dx + at);
  });
}

template <class S>
void CpuRows<S>::gather_rows(int64_t count, int64_t cols, const int32_t* index, const S* table,
                             S* y) {
  for_rows(runtime_, count, cols,
           [&](int64_t i) { std::copy_n(table + index[i] * cols, cols, y + i * cols); });
}

/// Every worker goes through all indices and adds to its own part of the table.
template <class S>
void CpuRows<S>::scatter_rows(int64_t count, int64_t cols, const int32_t* index, const S* y,
                              int64_t table_rows, S* table) {
  const int64_t threads = count * cols < kPiece ? 1 : runtime_.pool.threads();
  const int64_t part = (table_rows + threads - 1) / threads;
  for_pieces(runtime_, table_rows, part, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < count; ++i) {
      if (index[i] < begin || index[i] >= end) continue;
      S* row = table + index[i] * cols;
      for (int64_t j = 0; j < cols; ++j) row[j] += y[i * cols + j];
    }
  });
}

template <class S>
void CpuRows<S>::pool(const Pool<S>& pool, S* y) {
  for_rows(runtime_, pool.batch, pool.steps * pool.features, [&](int64_t r) {
    pool_row(pool, r, valid_steps(pool.lengths, r, pool.steps), y + r * pool.features);
  });
}

template <class S>
void CpuRows<S>::pool_backward(const Pool<S>& pool, const S* dy, S* dx) {
  const int64_t size = pool.steps * pool.features;
  for_rows(runtime_, pool.batch, size, [&](int64_t r) {
    pool_row_backward(pool, r, valid_steps(pool.lengths, r, pool.steps), dy + r * pool.features,
                      dx + r * size);
  });
}

template <class S>
void CpuRows<S>::reverse_steps(int64_t batch, int64_t steps, int64_t features,
                               const int32_t* lengths, const S* x, S* y) {
  const int64_t size = steps * features;
  for_rows(runtime_, batch, size, [&](int64_t r) {
    const int64_t valid = valid_steps(lengths, r, steps);
    const S* from = x + r * size;
    S* to = y + r * size;
    for (int64_t t = 0; t < valid; ++t) {
      std::copy_n(from + (valid - 1 - t) * features, features, to + t * features);
    }
    std::copy_n(from + valid * features, size - valid * features, to + valid * features);
  });
}

template <class S>
void CpuRows<S>::copy_columns(int64_t rows, int64_t cols, const S* from, int64_t from_row, S* to,
                              int64_t to_row) {
  for_rows(runtime_, rows, cols,
           [&](int64_t r) { std::copy_n(from + r * from_row, cols, to + r * to_row); });
}

template <class S>
void CpuRows<S>::copy_rows(const uint32_t* rows, int64_t first, int64_t count,
                           const std::vector<RowCopy>& parts) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows == nullptr ? first + i : int64_t{rows[i]};
    for (const RowCopy& part : parts) {
      std::memcpy(static_cast<char*>(part.to) + i * part.row_bytes,
                  static_cast<const char*>(part.from) + row * part.row_bytes,
                  static_cast<size_t>(part.row_bytes));
    }
  }
}

template <class S>
int64_t CpuRows<S>::read_indices(const IndexRead<S>& read, int32_t* index) {
  for (int64_t i = 0; i < read.count; ++i) {
    if (!read_index(read, i, index)) return i;
  }
  return -1;
}

template <class S>
TermSum CpuRows<S>::weigh_terms(const TermWeights<S>& terms, S* out) {
  TermSum sum;
  for (int64_t i = 0; i < terms.terms; ++i) out[i] = term_weight(terms, i, sum);
  return sum;
}

template <class S>
void CpuRows<S>::fill(int64_t n, S value, S* y) {
  std::fill_n(y, n, value);
}

template <class S>
void CpuRows<S>::add(int64_t n, const S* x, S* y) {
  for_pieces(runtime_, n, kPiece, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] += x[i];
  });
}

template class CpuRows<float>;
template class CpuRows<double>;

}  // namespace lookback
