#include "backend/cpu/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/denormals.h"
#include "backend/cpu/pieces.h"
#include "base/error.h"
#include "base/rng.h"
#include "math/lanes.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/optimizer.h"
#include "ops/update_numbers.h"

namespace lookback {
namespace {

/// Columns that one worker sums down the rows: two cache lines of floats.
constexpr int64_t kColumns = 32;
/// Rows whose sum is formed before it is added to the total: keeps the rounding error of long
/// columns small.
constexpr int64_t kRowBlock = 128;

/// Side by side in vector registers. The rest of a piece goes through the same arithmetic, so an
/// element's value does not depend on where it lies.
template <class F, class S>
void map_values(CpuRuntime& runtime, int64_t n, S* y) {
  constexpr int64_t kWidth = Lanes<S>::kWidth;
  const auto map = [](S* at, size_t count) {
    Lanes<S> x(0);
    std::memcpy(&x, at, count * sizeof(S));
    x = F::value(x);
    std::memcpy(at, &x, count * sizeof(S));
  };
  for_pieces(runtime, n, kPiece, [&](int64_t, int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth) map(y + i, kWidth);
    map(y + i, static_cast<size_t>(end - i));
  });
}

template <class F, class S>
void scale_by_derivative(CpuRuntime& runtime, int64_t n, const S* y, S* dy) {
  for_pieces(runtime, n, kPiece, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dy[i] *= F::derivative(y[i]);
  });
}

/// Elements [begin, end) of one update. `n` comes by value and the arrays are distinct: that lets
/// the loops vectorise.
template <class S>
void update_range(const OptimizerStep<S>& step, const UpdateNumbers<S> n, int64_t begin,
                  int64_t end) {
  const int64_t count = end - begin;
  S* __restrict p = step.param + begin;
  const S* __restrict g = step.grad + begin;
  S* __restrict s0 = step.slot0 == nullptr ? nullptr : step.slot0 + begin;
  S* __restrict s1 = step.slot1 == nullptr ? nullptr : step.slot1 + begin;
  S* __restrict s2 = step.slot2 == nullptr ? nullptr : step.slot2 + begin;
  switch (step.kind) {
    case OptimizerKind::kSgd:
      if (s0 == nullptr) {
        for (int64_t i = 0; i < count; ++i) update_sgd(n, p[i], g[i]);
      } else {
        for (int64_t i = 0; i < count; ++i) update_momentum(n, p[i], g[i], s0[i]);
      }
      return;
    case OptimizerKind::kRmsprop:
      if (s0 == nullptr) {
        for (int64_t i = 0; i < count; ++i) update_rmsprop(n, p[i], g[i], s1[i]);
      } else {
        for (int64_t i = 0; i < count; ++i) update_rmsprop_momentum(n, p[i], g[i], s0[i], s1[i]);
      }
      return;
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      if (s2 == nullptr) {
        for (int64_t i = 0; i < count; ++i) update_adam(n, p[i], g[i], s0[i], s1[i]);
      } else {
        for (int64_t i = 0; i < count; ++i) update_amsgrad(n, p[i], g[i], s0[i], s1[i], s2[i]);
      }
      return;
    case OptimizerKind::kAdagrad:
      for (int64_t i = 0; i < count; ++i) update_adagrad(n, p[i], g[i], s0[i]);
      return;
    case OptimizerKind::kAdadelta:
      for (int64_t i = 0; i < count; ++i) update_adadelta(n, p[i], g[i], s0[i], s1[i]);
      return;
  }
}

}  // namespace

template <class S>
void CpuElementwise<S>::add_bias(int64_t rows, int64_t cols, const S* bias, S* y) {
  for_pieces(runtime_, rows, rows_per_piece(cols), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols; ++c) y[r * cols + c] += bias[c];
    }
  });
}

template <class S>
void CpuElementwise<S>::sum_rows(int64_t rows, int64_t cols, const S* x, S* out) {
  const auto sum = [&](int64_t, int64_t first, int64_t last) {
    S total[kColumns] = {};
    for (int64_t block = 0; block < rows; block += kRowBlock) {
      S partial[kColumns] = {};
      for (int64_t r = block; r < std::min(rows, block + kRowBlock); ++r) {
        for (int64_t c = first; c < last; ++c) partial[c - first] += x[r * cols + c];
      }
      for (int64_t c = first; c < last; ++c) total[c - first] += partial[c - first];
    }
    for (int64_t c = first; c < last; ++c) out[c] += total[c - first];
  };
  if (rows * cols >= 4 * kPiece) {
    for_pieces(runtime_, cols, kColumns, sum);
    return;
  }
  // The same columns in the same order, without waking anybody for a small matrix.
  const FlushDenormals flush;
  for (int64_t c = 0; c < cols; c += kColumns) sum(0, c, std::min(cols, c + kColumns));
}

template <class S>
void CpuElementwise<S>::activate(Activation kind, int64_t rows, int64_t cols, S* y) {
  CpuRuntime& runtime = runtime_;
  switch (kind) {
    case Activation::kLinear:
      return;
    case Activation::kRelu:
      return map_values<Relu>(runtime, rows * cols, y);
    case Activation::kElu:
      return map_values<Elu>(runtime, rows * cols, y);
    case Activation::kTanh:
      return map_values<Tanh>(runtime, rows * cols, y);
    case Activation::kSigmoid:
      return map_values<Sigmoid>(runtime, rows * cols, y);
    case Activation::kSoftmax:
      return for_pieces(runtime, rows, rows_per_piece(cols),
                        [&](int64_t, int64_t begin, int64_t end) {
                          for (int64_t r = begin; r < end; ++r) softmax_row(cols, y + r * cols);
                        });
  }
}

template <class S>
void CpuElementwise<S>::activate_backward(Activation kind, int64_t rows, int64_t cols, const S* y,
                                          S* dy) {
  CpuRuntime& runtime = runtime_;
  switch (kind) {
    case Activation::kLinear:
      return;
    case Activation::kRelu:
      return scale_by_derivative<Relu>(runtime, rows * cols, y, dy);
    case Activation::kElu:
      return scale_by_derivative<Elu>(runtime, rows * cols, y, dy);
    case Activation::kTanh:
      return scale_by_derivative<Tanh>(runtime, rows * cols, y, dy);
    case Activation::kSigmoid:
      return scale_by_derivative<Sigmoid>(runtime, rows * cols, y, dy);
    case Activation::kSoftmax:
      return for_pieces(runtime, rows, rows_per_piece(cols),
                        [&](int64_t, int64_t begin, int64_t end) {
                          for (int64_t r = begin; r < end; ++r) {
                            softmax_row_backward(cols, y + r * cols, dy + r * cols);
                          }
                        });
  }
}

template <class S>
void CpuElementwise<S>::dropout(const DropoutKey& key, double rate, int64_t rows, int64_t cols,
                                const S* x, S* y) {
  const PhiloxKey stream = dropout_stream(key.seed, key.step, key.layer);
  for_pieces(runtime_, rows, rows_per_piece(cols), [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      dropout_row(stream, 0, static_cast<uint32_t>(r), rate, 0, cols, x + r * cols, y + r * cols);
    }
  });
}

template <class S>
double CpuElementwise<S>::sum_squares(int64_t n, const S* x) {
  return reduce<double>(runtime_, n, kPiece, [&](int64_t begin, int64_t end) {
    // Eight running sums hide the latency of an addition; their order is fixed.
    double sums[8] = {};
    int64_t i = begin;
    for (; i + 8 <= end; i += 8) {
      for (int64_t j = 0; j < 8; ++j) {
        const double value = static_cast<double>(x[i + j]);
        sums[j] += value * value;
      }
    }
    for (; i < end; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  });
}

template <class S>
void CpuElementwise<S>::update(const OptimizerStep<S>& step) {
  const UpdateNumbers<S> numbers = fold_step(step);
  for_pieces(runtime_, step.n, kPiece,
             [&](int64_t, int64_t begin, int64_t end) { update_range(step, numbers, begin, end); });
}

template class CpuElementwise<float>;
template class CpuElementwise<double>;

}  // namespace lookback
