/// A cell's weights on the device, in the order in which products read them, and the way back for
/// their gradients.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cuda/block_plan.h"
#include "backend/cuda/block_tools.h"
#include "backend/cuda/device.h"
#include "base/arena.h"

namespace lookback {

template <class S>
class BlockWeights {
 public:
  BlockWeights(const BlockLayout& layout, Backend<S>& backend, CudaDevice& device);

  /// From all weights (parameters, then derived matrices; the device's pointers). `quads`: in the
  /// order of the resident driver's products, with adjoints; otherwise dense [rows][size].
  void pack(const std::vector<const S*>& weights, bool quads);
  const S* at(const PackedPlace& place) const { return packed_.data() + place.offset; }
  /// Where the vectors that programs read lie; tables are computed from the weights.
  void find_vectors(const std::vector<const S*>& weights);
  void fill_tables(const std::vector<const S*>& weights);
  const S* vector(size_t v) const { return vectors_[v]; }

  /// Adds dW [rows][depth] and db [rows] of Linear l to the weights' gradients, null where nobody
  /// wants one.
  void scatter(size_t l, const S* dW, const S* db, const std::vector<S*>& d_weights);
  /// Adds the gradient of vector v to the weights that it comes from.
  void add_gradient(int v, const S* gradient, const std::vector<S*>& d_weights);
  /// to[c] (+)= sum over rows of from[r * stride + c].
  void sum_columns(const S* from, int64_t rows, int64_t stride, int64_t cols, S* to, bool add);

 private:
  using Move = typename MovesOp<S>::Move;
  /// Adds `count` numbers that lie one behind the other, such as those of a bias.
  static Move added(const S* from, S* to, int count);

  void pack_linear(size_t l, const std::vector<const S*>& weights, bool quads,
                   std::vector<Move>& moves) const;
  void launch(const std::vector<Move>& moves);

  const BlockLayout& layout_;
  const Declaration& d_;
  Backend<S>& backend_;
  CudaDevice& device_;
  Buffer<S> packed_, parts_;
  std::vector<Buffer<S>> tables_;  ///< per vector: constants and tables
  std::vector<Buffer<S>> codes_;   ///< per table: its constants [entries][features]
  std::vector<const S*> vectors_;
};

}  // namespace lookback
