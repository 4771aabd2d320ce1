/// What the device computes outside of time loops: one plain struct an operation, which is both the
/// argument that crosses the table (api.h) and the body of the kernel. The formulas are those of
/// native/ops, shared with the CPU. Pointers are the device's.
///
/// An operation with `items()` is called as op(i) for every i in 0..items() - 1, each alone. One
/// with `blocks()` is called as op(block) by every thread of every block; `block` has thread(),
/// threads(), index(), sync() and shared<T>(), which gives `kShared` bytes.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "base/rng.h"
#include "ops/calls.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/gemm.h"
#include "ops/layer_norm.h"
#include "ops/loss_terms.h"
#include "ops/optimizer.h"
#include "ops/pool.h"
#include "ops/table.h"

namespace lookback {

enum CudaOperation : int32_t {
  kCudaGemm,
  kCudaGemmSum,
  kCudaAddBias,
  kCudaSumRows,
  kCudaActivate,
  kCudaSoftmax,
  kCudaActivateBackward,
  kCudaSoftmaxBackward,
  kCudaDropout,
  kCudaLoss,
  kCudaLayerNorm,
  kCudaLayerNormBackward,
  kCudaGatherRows,
  kCudaScatterRows,
  kCudaPool,
  kCudaPoolBackward,
  kCudaReverseSteps,
  kCudaCopyColumns,
  kCudaCopyRows,
  kCudaReadIndices,
  kCudaWeighTerms,
  kCudaFill,
  kCudaAdd,
  kCudaSumSquares,
  kCudaUpdate,
  kCudaBlasGemm,
  kCudaRecurrent = 1000,  ///< from here on: the drivers of recurrent cells
};

/// Sums that come back to the host are added per block and then, in order, on the host.
constexpr int kReduceBlocks = 64;
constexpr int kMaxThreads = 256;

/// values[0 .. threads) of a block become their sum in values[0], always in the same order.
template <class Block, class T>
HD void block_sum(const Block& block, T* values) {
  block.sync();
  for (int step = 1; step < block.threads(); step *= 2) {
    const int t = block.thread();
    if (t % (2 * step) == 0 && t + step < block.threads()) values[t] += values[t + step];
    block.sync();
  }
}

template <class S>
struct AddBiasOp {
  static constexpr CudaOperation kId = kCudaAddBias;
  int64_t rows, cols;
  const S* bias;
  S* y;
  HD int64_t items() const { return rows * cols; }
  HD void operator()(int64_t i) const { y[i] += bias[i % cols]; }
};

/// A block takes 32 columns: the threads of a column sum every so many rows, in order, then their
/// sums are added in order. (With fewer threads than columns a thread takes several.) Sums of
/// kRowBlock rows are formed before they are added to the total, which keeps the rounding error of
/// long columns small.
template <class S>
struct SumRowsOp {
  static constexpr CudaOperation kId = kCudaSumRows;
  static constexpr int kColumns = 32;
  static constexpr int64_t kRowBlock = 128;
  static constexpr int64_t kShared = kMaxThreads * sizeof(S) + kColumns * sizeof(S);
  int64_t rows, cols;
  const S* x;
  S* out;
  HD int64_t blocks() const { return (cols + kColumns - 1) / kColumns; }
  template <class Block>
  HD void operator()(const Block& block) const {
    S* partial = block.template shared<S>();
    const int64_t first = block.index() * kColumns;
    const int columns = static_cast<int>(cols - first < kColumns ? cols - first : kColumns);
    const int lanes = block.threads() < columns ? 1 : block.threads() / columns;
    for (int work = block.thread(); work < columns * lanes; work += block.threads()) {
      const int lane = work / columns;
      const int64_t column = first + work % columns;
      S sum(0);
      for (int64_t begin = lane; begin < rows; begin += lanes * kRowBlock) {
        const int64_t end = begin + lanes * kRowBlock < rows ? begin + lanes * kRowBlock : rows;
        S part(0);
        for (int64_t r = begin; r < end; r += lanes) part += x[r * cols + column];
        sum += part;
      }
      partial[work] = sum;
    }
    block.sync();
    for (int c = block.thread(); c < columns; c += block.threads()) {
      S sum(0);
      for (int lane = 0; lane < lanes; ++lane) sum += partial[lane * columns + c];
      out[first + c] += sum;
    }
  }
};

template <class S>
struct ActivateOp {
  static constexpr CudaOperation kId = kCudaActivate;
  Activation kind;
  int64_t n;
  S* y;
  HD int64_t items() const { return n; }
  HD void operator()(int64_t i) const {
    switch (kind) {
      case Activation::kRelu:
        y[i] = Relu::value(y[i]);
        return;
      case Activation::kElu:
        y[i] = Elu::value(y[i]);
        return;
      case Activation::kTanh:
        y[i] = Tanh::value(y[i]);
        return;
      case Activation::kSigmoid:
        y[i] = Sigmoid::value(y[i]);
        return;
      default:
        return;
    }
  }
};

template <class S>
struct SoftmaxOp {
  static constexpr CudaOperation kId = kCudaSoftmax;
  int64_t rows, cols;
  S* y;
  HD int64_t items() const { return rows; }
  HD void operator()(int64_t r) const { softmax_row(cols, y + r * cols); }
};

template <class S>
struct ActivateBackwardOp {
  static constexpr CudaOperation kId = kCudaActivateBackward;
  Activation kind;
  int64_t n;
  const S* y;
  S* dy;
  HD int64_t items() const { return n; }
  HD void operator()(int64_t i) const {
    switch (kind) {
      case Activation::kRelu:
        dy[i] *= Relu::derivative(y[i]);
        return;
      case Activation::kElu:
        dy[i] *= Elu::derivative(y[i]);
        return;
      case Activation::kTanh:
        dy[i] *= Tanh::derivative(y[i]);
        return;
      case Activation::kSigmoid:
        dy[i] *= Sigmoid::derivative(y[i]);
        return;
      default:
        return;
    }
  }
};

template <class S>
struct SoftmaxBackwardOp {
  static constexpr CudaOperation kId = kCudaSoftmaxBackward;
  int64_t rows, cols;
  const S* y;
  S* dy;
  HD int64_t items() const { return rows; }
  HD void operator()(int64_t r) const { softmax_row_backward(cols, y + r * cols, dy + r * cols); }
};

/// An item is four neighbours, which share their random bits.
template <class S>
struct DropoutOp {
  static constexpr CudaOperation kId = kCudaDropout;
  PhiloxKey stream;
  double rate;
  int64_t rows, cols;
  const S* x;
  S* y;
  HD int64_t quads() const { return (cols + 3) / 4; }
  HD int64_t items() const { return rows * quads(); }
  HD void operator()(int64_t i) const {
    const int64_t row = i / quads(), begin = i % quads() * 4;
    const int64_t end = begin + 4 < cols ? begin + 4 : cols;
    dropout_row(stream, 0, static_cast<uint32_t>(row), rate, begin, end, x + row * cols,
                y + row * cols);
  }
};

/// `partial` [kReduceBlocks][3]: loss, hits and absolute error of a block's terms.
template <class S>
struct LossOp {
  static constexpr CudaOperation kId = kCudaLoss;
  static constexpr int64_t kShared = 3 * kMaxThreads * sizeof(double);
  LossCall<S> call;
  double* partial;
  HD int64_t blocks() const { return kReduceBlocks; }
  template <class Block>
  HD void operator()(const Block& block) const {
    double* sums = block.template shared<double>();
    const int threads = block.threads();
    LossSum own;
    for (int64_t i = block.index() * threads + block.thread(); i < call.terms;
         i += int64_t{kReduceBlocks} * threads) {
      const LossSum term = term_loss(call, i);
      own.loss += term.loss;
      own.hits += term.hits;
      own.absolute += term.absolute;
    }
    sums[block.thread()] = own.loss;
    sums[threads + block.thread()] = own.hits;
    sums[2 * threads + block.thread()] = own.absolute;
    for (int k = 0; k < 3; ++k) {
      block_sum(block, sums + k * threads);
      if (block.thread() == 0) partial[block.index() * 3 + k] = sums[k * threads];
    }
  }
};

template <class S>
struct LayerNormOp {
  static constexpr CudaOperation kId = kCudaLayerNorm;
  LayerNorm<S> norm;
  S* y;
  HD int64_t items() const { return norm.rows; }
  HD void operator()(int64_t r) const {
    const int64_t at = r * norm.cols;
    layer_norm_row(norm.cols, norm.x + at, norm.epsilon, norm.gain, norm.bias, y + at);
  }
};

template <class S>
struct LayerNormBackwardOp {
  static constexpr CudaOperation kId = kCudaLayerNormBackward;
  LayerNorm<S> norm;
  S* dy;
  S* dx;
  HD int64_t items() const { return norm.rows; }
  HD void operator()(int64_t r) const {
    const int64_t at = r * norm.cols;
    layer_norm_row_backward(norm.cols, norm.x + at, norm.epsilon, norm.gain, dy + at,
                            dx == nullptr ? nullptr : dx + at);
  }
};

template <class S>
struct GatherRowsOp {
  static constexpr CudaOperation kId = kCudaGatherRows;
  int64_t count, cols;
  const int32_t* index;
  const S* table;
  S* y;
  HD int64_t items() const { return count * cols; }
  HD void operator()(int64_t i) const { y[i] = table[index[i / cols] * cols + i % cols]; }
};

/// A block owns one row of the table and adds what belongs to it in order, so that equal indices
/// give one result; a thread takes whole columns.
template <class S>
struct ScatterRowsOp {
  static constexpr CudaOperation kId = kCudaScatterRows;
  static constexpr int64_t kShared = 0;
  int64_t count, cols, table_rows;
  const int32_t* index;
  const S* y;
  S* table;
  HD int64_t blocks() const { return table_rows; }
  template <class Block>
  HD void operator()(const Block& block) const {
    const int64_t row = block.index();
    for (int64_t i = 0; i < count; ++i) {
      if (index[i] != row) continue;
      for (int64_t j = block.thread(); j < cols; j += block.threads())
        table[row * cols + j] += y[i * cols + j];
    }
  }
};

template <class S>
struct PoolOp {
  static constexpr CudaOperation kId = kCudaPool;
  Pool<S> pool;
  S* y;
  HD int64_t items() const { return pool.batch; }
  HD void operator()(int64_t r) const {
    pool_row(pool, r, valid_steps(pool.lengths, r, pool.steps), y + r * pool.features);
  }
};

template <class S>
struct PoolBackwardOp {
  static constexpr CudaOperation kId = kCudaPoolBackward;
  Pool<S> pool;
  const S* dy;
  S* dx;
  HD int64_t items() const { return pool.batch; }
  HD void operator()(int64_t r) const {
    pool_row_backward(pool, r, valid_steps(pool.lengths, r, pool.steps), dy + r * pool.features,
                      dx + r * pool.steps * pool.features);
  }
};

template <class S>
struct ReverseStepsOp {
  static constexpr CudaOperation kId = kCudaReverseSteps;
  int64_t batch, steps, features;
  const int32_t* lengths;
  const S* x;
  S* y;
  HD int64_t items() const { return batch * steps * features; }
  HD void operator()(int64_t i) const {
    const int64_t row = i / (steps * features), t = i / features % steps;
    const int64_t valid = valid_steps(lengths, row, steps);
    const int64_t from = t < valid ? valid - 1 - t : t;
    y[i] = x[(row * steps + from) * features + i % features];
  }
};

template <class S>
struct CopyColumnsOp {
  static constexpr CudaOperation kId = kCudaCopyColumns;
  int64_t rows, cols, from_row, to_row;
  const S* from;
  S* to;
  HD int64_t items() const { return rows * cols; }
  HD void operator()(int64_t i) const {
    to[i / cols * to_row + i % cols] = from[i / cols * from_row + i % cols];
  }
};

/// Rows in words of four bytes, whatever they hold. `rows` null: from `first` on.
template <class S>
struct CopyRowsOp {
  static constexpr CudaOperation kId = kCudaCopyRows;
  int64_t first, count, words;
  const uint32_t* rows;
  const uint32_t* from;
  uint32_t* to;
  HD int64_t items() const { return count * words; }
  HD void operator()(int64_t i) const {
    const int64_t row = rows == nullptr ? first + i / words : int64_t{rows[i / words]};
    to[i] = from[row * words + i % words];
  }
};

/// `wrong` [kReduceBlocks]: the first entry of a block's that is no row of the table; `count` where
/// all are.
template <class S>
struct ReadIndicesOp {
  static constexpr CudaOperation kId = kCudaReadIndices;
  static constexpr int64_t kShared = kMaxThreads * sizeof(int64_t);
  IndexRead<S> read;
  int32_t* index;
  int64_t* wrong;
  HD int64_t blocks() const { return kReduceBlocks; }
  template <class Block>
  HD void operator()(const Block& block) const {
    int64_t* firsts = block.template shared<int64_t>();
    int64_t own = read.count;
    for (int64_t i = block.index() * block.threads() + block.thread(); i < read.count;
         i += int64_t{kReduceBlocks} * block.threads()) {
      if (!read_index(read, i, index) && i < own) own = i;
    }
    firsts[block.thread()] = own;
    block.sync();
    if (block.thread() != 0) return;
    for (int t = 1; t < block.threads(); ++t) own = firsts[t] < own ? firsts[t] : own;
    wrong[block.index()] = own;
  }
};

/// `partial` [kReduceBlocks][2]: weight and count.
template <class S>
struct WeighTermsOp {
  static constexpr CudaOperation kId = kCudaWeighTerms;
  static constexpr int64_t kShared = 2 * kMaxThreads * sizeof(double);
  TermWeights<S> terms;
  S* out;
  double* partial;
  HD int64_t blocks() const { return kReduceBlocks; }
  template <class Block>
  HD void operator()(const Block& block) const {
    double* sums = block.template shared<double>();
    const int threads = block.threads();
    TermSum own;
    for (int64_t i = block.index() * threads + block.thread(); i < terms.terms;
         i += int64_t{kReduceBlocks} * threads) {
      out[i] = term_weight(terms, i, own);
    }
    sums[block.thread()] = own.weight;
    sums[threads + block.thread()] = own.count;
    for (int k = 0; k < 2; ++k) {
      block_sum(block, sums + k * threads);
      if (block.thread() == 0) partial[block.index() * 2 + k] = sums[k * threads];
    }
  }
};

template <class S>
struct FillOp {
  static constexpr CudaOperation kId = kCudaFill;
  int64_t n;
  S value;
  S* y;
  HD int64_t items() const { return n; }
  HD void operator()(int64_t i) const { y[i] = value; }
};

template <class S>
struct AddOp {
  static constexpr CudaOperation kId = kCudaAdd;
  int64_t n;
  const S* x;
  S* y;
  HD int64_t items() const { return n; }
  HD void operator()(int64_t i) const { y[i] += x[i]; }
};

/// `partial` [kReduceBlocks].
template <class S>
struct SumSquaresOp {
  static constexpr CudaOperation kId = kCudaSumSquares;
  static constexpr int64_t kShared = kMaxThreads * sizeof(double);
  int64_t n;
  const S* x;
  double* partial;
  HD int64_t blocks() const { return kReduceBlocks; }
  template <class Block>
  HD void operator()(const Block& block) const {
    double* sums = block.template shared<double>();
    double own = 0;
    for (int64_t i = block.index() * block.threads() + block.thread(); i < n;
         i += int64_t{kReduceBlocks} * block.threads()) {
      own += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    sums[block.thread()] = own;
    block_sum(block, sums);
    if (block.thread() == 0) partial[block.index()] = sums[0];
  }
};

template <class S>
struct UpdateOp {
  static constexpr CudaOperation kId = kCudaUpdate;
  OptimizerKind kind;
  int64_t n;
  UpdateNumbers<S> numbers;
  S* param;
  const S* grad;
  S* slot[3];  ///< null where the kind has none
  HD int64_t items() const { return n; }
  HD void operator()(int64_t i) const {
    S* own[3];
    for (int k = 0; k < 3; ++k) own[k] = slot[k] == nullptr ? nullptr : slot[k] + i;
    update_element(kind, numbers, param[i], grad[i], own[0], own[1], own[2]);
  }
};

}  // namespace lookback
