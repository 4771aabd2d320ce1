#include "backend/cpu/rows.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/pieces.h"
#include "base/error.h"
#include "ops/layer_norm.h"
#include "ops/loss.h"

namespace lookback {
namespace {

struct PartialLoss {
  LossSum sum;
  PartialLoss operator+(const PartialLoss& other) const {
    return {
        {sum.loss + other.sum.loss, sum.hits + other.sum.hits, sum.absolute + other.sum.absolute}};
  }
};

template <class S>
LossSum label_loss(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.outputs;
  S* d = call.d == nullptr ? nullptr : call.d + term * n;
  const RowLoss row = cross_entropy_row(n, call.y + term * n, call.labels[term],
                                        static_cast<S>(call.scale * weight), d);
  return {weight * row.loss, row.hit ? 1.0 : 0.0, 0};
}

template <class S>
ElementLoss element_loss(const LossCall<S>& call, int64_t output, double y, double t) {
  switch (call.kind) {
    case LossKind::kAbsoluteError:
      return absolute_error(y, t);
    case LossKind::kHuber:
      return huber_loss(y, t, call.delta);
    case LossKind::kQuantile:
      return quantile_loss(y, t, call.quantiles[output % (call.outputs / call.target_size)]);
    case LossKind::kBinaryCrossEntropy:
      return binary_cross_entropy(y, t);
    default:
      return squared_error(y, t);
  }
}

/// Outputs of a quantile loss: all quantiles of the first target, then those of the next.
template <class S>
LossSum target_loss(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.outputs, per_target = n / call.target_size;
  const double share = 1.0 / static_cast<double>(n);
  LossSum sum;
  for (int64_t j = 0; j < n; ++j) {
    const double y = static_cast<double>(call.y[term * n + j]);
    const double t = static_cast<double>(call.targets[term * call.target_size + j / per_target]);
    ElementLoss own{0, 0};
    if (!std::isnan(t)) {
      own = element_loss(call, j, y, t);
      sum.loss += own.loss;
      sum.absolute += std::abs(y - t);
      sum.hits += (y > 0) == (t > 0.5) ? 1 : 0;
    }
    if (call.d != nullptr)
      call.d[term * n + j] = static_cast<S>(call.scale * weight * share * own.d);
  }
  return {weight * share * sum.loss, share * sum.hits, share * sum.absolute};
}

/// Outputs: all means, then the logarithms of all variances.
template <class S>
LossSum gaussian_term(const LossCall<S>& call, int64_t term, double weight) {
  const int64_t n = call.target_size;
  const double share = 1.0 / static_cast<double>(n);
  const S* y = call.y + term * 2 * n;
  LossSum sum;
  for (int64_t j = 0; j < n; ++j) {
    const double t = static_cast<double>(call.targets[term * n + j]);
    const double mean = static_cast<double>(y[j]);
    GaussianLoss own{0, 0, 0};
    if (!std::isnan(t)) {
      own = gaussian_loss(mean, static_cast<double>(y[n + j]), t, call.min_variance);
      sum.loss += own.loss;
      sum.absolute += std::abs(mean - t);
    }
    if (call.d == nullptr) continue;
    S* d = call.d + term * 2 * n;
    d[j] = static_cast<S>(call.scale * weight * share * own.d_mean);
    d[n + j] = static_cast<S>(call.scale * weight * share * own.d_log_variance);
  }
  return {weight * share * sum.loss, 0, share * sum.absolute};
}

template <class S>
LossSum term_loss(const LossCall<S>& call, int64_t term) {
  const double weight = call.weights == nullptr ? 1.0 : static_cast<double>(call.weights[term]);
  if (weight == 0) {
    if (call.d != nullptr) std::fill_n(call.d + term * call.outputs, call.outputs, S(0));
    return {};
  }
  switch (call.kind) {
    case LossKind::kSoftmaxCrossEntropy:
      return label_loss(call, term, weight);
    case LossKind::kGaussian:
      return gaussian_term(call, term, weight);
    default:
      return target_loss(call, term, weight);
  }
}

template <class S>
void pool_row(const Pool<S>& pool, int64_t row, int64_t valid, S* y) {
  const int64_t n = pool.features;
  const S* x = pool.x + row * pool.steps * n;
  std::fill_n(y, n, S(0));
  if (valid == 0) return;
  switch (pool.kind) {
    case PoolKind::kLast:
      std::copy_n(x + (valid - 1) * n, n, y);
      return;
    case PoolKind::kMean:
      for (int64_t t = 0; t < valid; ++t) {
        for (int64_t j = 0; j < n; ++j) y[j] += x[t * n + j];
      }
      for (int64_t j = 0; j < n; ++j) y[j] /= static_cast<S>(valid);
      return;
    case PoolKind::kMax:
      std::copy_n(x, n, y);
      for (int64_t t = 1; t < valid; ++t) {
        // A NaN stays: pooling must not hide a model that has diverged.
        for (int64_t j = 0; j < n; ++j) y[j] = x[t * n + j] <= y[j] ? y[j] : x[t * n + j];
      }
      return;
  }
}

template <class S>
void pool_row_backward(const Pool<S>& pool, int64_t row, int64_t valid, const S* dy, S* dx) {
  const int64_t n = pool.features;
  std::fill_n(dx, pool.steps * n, S(0));
  if (valid == 0) return;
  switch (pool.kind) {
    case PoolKind::kLast:
      std::copy_n(dy, n, dx + (valid - 1) * n);
      return;
    case PoolKind::kMean:
      for (int64_t t = 0; t < valid; ++t) {
        for (int64_t j = 0; j < n; ++j) dx[t * n + j] = dy[j] / static_cast<S>(valid);
      }
      return;
    case PoolKind::kMax:
      const S* x = pool.x + row * pool.steps * n;
      for (int64_t j = 0; j < n; ++j) {
        int64_t best = 0;
        for (int64_t t = 1; t < valid; ++t) best = x[t * n + j] > x[best * n + j] ? t : best;
        dx[best * n + j] = dy[j];
      }
      return;
  }
}

int64_t valid_steps(const int32_t* lengths, int64_t row, int64_t steps) {
  return lengths == nullptr ? steps : int64_t{lengths[row]};
}

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
  return reduce<PartialLoss>(runtime_.pool, call.terms, rows_per_piece(call.outputs), some).sum;
}

template <class S>
void CpuRows<S>::layer_norm(const LayerNorm<S>& norm, S* y) {
  for_rows(runtime_.pool, norm.rows, norm.cols, [&](int64_t r) {
    const int64_t at = r * norm.cols;
    layer_norm_row(norm.cols, norm.x + at, norm.epsilon, norm.gain, norm.bias, y + at);
  });
}

template <class S>
void CpuRows<S>::layer_norm_backward(const LayerNorm<S>& norm, S* dy, S* dx) {
  for_rows(runtime_.pool, norm.rows, norm.cols, [&](int64_t r) {
    const int64_t at = r * norm.cols;
    layer_norm_row_backward(norm.cols, norm.x + at, norm.epsilon, norm.gain, dy + at,
                            dx == nullptr ? nullptr : dx + at);
  });
}

template <class S>
void CpuRows<S>::gather_rows(int64_t count, int64_t cols, const int32_t* index, const S* table,
                             S* y) {
  for_rows(runtime_.pool, count, cols,
           [&](int64_t i) { std::copy_n(table + index[i] * cols, cols, y + i * cols); });
}

/// Every worker goes through all indices and adds to its own part of the table.
template <class S>
void CpuRows<S>::scatter_rows(int64_t count, int64_t cols, const int32_t* index, const S* y,
                              int64_t table_rows, S* table) {
  const int64_t threads = count * cols < kPiece ? 1 : runtime_.pool.threads();
  const int64_t part = (table_rows + threads - 1) / threads;
  for_pieces(runtime_.pool, table_rows, part, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < count; ++i) {
      if (index[i] < begin || index[i] >= end) continue;
      S* row = table + index[i] * cols;
      for (int64_t j = 0; j < cols; ++j) row[j] += y[i * cols + j];
    }
  });
}

template <class S>
void CpuRows<S>::pool(const Pool<S>& pool, S* y) {
  for_rows(runtime_.pool, pool.batch, pool.steps * pool.features, [&](int64_t r) {
    pool_row(pool, r, valid_steps(pool.lengths, r, pool.steps), y + r * pool.features);
  });
}

template <class S>
void CpuRows<S>::pool_backward(const Pool<S>& pool, const S* dy, S* dx) {
  const int64_t size = pool.steps * pool.features;
  for_rows(runtime_.pool, pool.batch, size, [&](int64_t r) {
    pool_row_backward(pool, r, valid_steps(pool.lengths, r, pool.steps), dy + r * pool.features,
                      dx + r * size);
  });
}

template <class S>
void CpuRows<S>::reverse_steps(int64_t batch, int64_t steps, int64_t features,
                               const int32_t* lengths, const S* x, S* y) {
  const int64_t size = steps * features;
  for_rows(runtime_.pool, batch, size, [&](int64_t r) {
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
  for_rows(runtime_.pool, rows, cols,
           [&](int64_t r) { std::copy_n(from + r * from_row, cols, to + r * to_row); });
}

template <class S>
void CpuRows<S>::add(int64_t n, const S* x, S* y) {
  for_pieces(runtime_.pool, n, kPiece, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] += x[i];
  });
}

template class CpuRows<float>;
template class CpuRows<double>;

}  // namespace lookback
