/// The host side of the CPU driver: where a cell's slots lie, and its weights in the order the
/// kernels read them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/sequence.h"
#include "base/memory.h"
#include "cells/cell.h"

namespace lookback {

/// Aligned, zeroed memory; ERR_MEMORY with the bytes wanted when there is none.
template <class S>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(int64_t count);
  S* data() const { return data_.get(); }
  int64_t size() const { return count_; }

 private:
  struct Free {
    void operator()(S* block) const;
  };
  MemoryClaim claim_;
  std::unique_ptr<S, Free> data_;
  int64_t count_ = 0;
};

/// The storage of one tile for `steps` steps.
struct StoragePlan {
  std::vector<SlotPlace> slots;
  int64_t tile_stride = 0;  ///< numbers
  int tiles = 0;
  std::vector<int> recent;  ///< Linears whose weights' gradients the loop sums (RecentGradient)
  bool is_recent(int linear) const {
    return std::find(recent.begin(), recent.end(), linear) != recent.end();
  }
};

/// Units of all sources of a Linear, and one more for a bias.
int64_t gradient_units(const LinearInfo& info);

/// `keep`: tapes hold every step, and `entries` of the initial states before them. With one row a
/// tile, columns are padded to whole vectors. ERR_MEMORY where sizes overflow.
StoragePlan plan_storage(const Declaration& d, int64_t batch, int64_t steps, bool keep,
                         int tile_rows, int entries = 1);

/// All Linears of a cell, packed from its weights (parameters, then derived matrices) before every
/// pass.
template <class S>
class PackedWeights {
 public:
  /// In blocks of the best of `blocks`, in rising order.
  PackedWeights(const Declaration& d, std::vector<int> blocks);
  /// These three look at the cancel flag and throw ERR_ABORTED halfway.
  void pack(const std::vector<const S*>& weights, const CpuRuntime& runtime);
  /// The transposed packings for backward; that of the input slot only `with_dx`.
  void pack_adjoints(const std::vector<const S*>& weights, bool with_dx, const CpuRuntime& runtime);
  const PackedLinear<S>* linears() const { return linears_.data(); }
  /// Units of all sources of Linear i.
  int64_t depth(int i) const { return depth_[static_cast<size_t>(i)]; }
  /// Adds the dense gradient of Linear i, [depth][rows] and behind it that of its bias, to the
  /// weights' gradients.
  void scatter(int i, const S* dW, const std::vector<S*>& d_weights,
               const CpuRuntime& runtime) const;

 private:
  void pack_forward(size_t i, const std::vector<const S*>& weights, const CpuRuntime& runtime);
  void pack_adjoint(size_t i, size_t source, const std::vector<const S*>& weights,
                    const CpuRuntime& runtime);
  int best_block(int rows) const;

  const Declaration& d_;
  const std::vector<int> blocks_;
  std::vector<PackedLinear<S>> linears_;
  std::vector<int64_t> depth_;
  std::vector<AlignedArray<S>> forward_, bias_;
  std::vector<std::vector<AlignedArray<S>>> adjoint_;
};

/// Vectors read by programs: copies of parameters, tables computed from them; behind each
/// kPackedOverrun numbers that may be read.
template <class S>
class VectorSet {
 public:
  explicit VectorSet(const Declaration& d);
  void prepare(const std::vector<const S*>& weights);
  const S* const* data() const { return pointers_.data(); }
  /// Adds the gradient of vector `v` to the weights it comes from.
  void add_gradient(int v, const S* gradient, const std::vector<S*>& d_weights) const;

 private:
  const Declaration& d_;
  std::vector<const S*> pointers_;
  std::vector<std::vector<S>> numbers_;  ///< one per vector
};

}  // namespace lookback
