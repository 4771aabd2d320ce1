/// Weights of a window that are learned directly, normalised once an update (RRA's document,
/// section 4): from W [K] or [K, columns], every column by itself and over the first n entries,
///
///   sum      w_k = W_k / S,              S = sum_j W_j
///   softmax  w_k = e^(W_k - max) / sum_j e^(W_j - max)
///   l1       w_k = W_k / S,              S = sum_j |W_j|
///   none     w_k = W_k
///
/// Backward, with r = sum_k dw_k w_k:
///
///   dW_k = (dw_k - r) / S,   w_k (dw_k - r),   (dw_k - sign(W_k) r) / S,   dw_k
///
/// The result is one row of K weights, or with `growing` K rows: row n - 1 is normalised over the n
/// entries that a window holds while it fills, and zero beyond them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parametrization/parametrization.h"

namespace lookback {

class AttentionWeights final : public Parametrization {
 public:
  enum class Normalize { kSum, kSoftmax, kL1, kNone };

  /// Below this a sum is taken for 0: nothing keeps sums away from it in training.
  static constexpr double kPole = 1e-6;

  /// `param`: the number of W, whose `name` is for messages.
  AttentionWeights(int param, std::string name, int entries, int columns, bool growing,
                   Normalize normalize)
      : param_(param),
        name_(std::move(name)),
        entries_(entries),
        columns_(columns),
        growing_(growing),
        normalize_(normalize) {}

  std::vector<int> params() const override { return {param_}; }
  /// Throws ERR_NUMERIC where a sum that is divided by lies within kPole of 0.
  void build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
             const Multiply& multiply) override;
  void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
               const Multiply& multiply) override;

 private:
  int rows() const { return growing_ ? entries_ : 1; }
  int seen(int row) const { return growing_ ? row + 1 : entries_; }
  /// Where row `row` of a table and entry 0 of its column `column` lie; entries are `columns_`
  /// apart.
  size_t place(int row, int column) const;
  double divisor(const double* W, int n, int column) const;

  int param_;
  std::string name_;
  int entries_, columns_;
  bool growing_;
  Normalize normalize_;
  std::vector<double> weights_;  ///< of the last build
};

}  // namespace lookback
