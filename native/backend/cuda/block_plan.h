/// How a cell's loop runs on a GPU: which driver, how many rows a block or a cluster of blocks has,
/// and what of its columns and weights lies in shared memory. A small model of sizes decides;
/// docs/adr/0009, 0023 and 0024 have its reasons.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/block_args.h"
#include "cells/cell.h"

namespace lookback {

enum class BlockDriver { kResident, kStepwise };

/// What a device has.
struct BlockLimits {
  int multiprocessors = 1;
  int64_t shared_bytes = 0;  ///< of one block
  int max_cluster = 1;       ///< blocks of the largest cluster
};

/// Tests choose what the model of sizes would not.
struct BlockChoice {
  enum Driver { kModel, kResident, kStepwise } driver = kModel;
  int rows = 0;               ///< of a block; 0: as the model says
  int64_t shared_bytes = -1;  ///< at most this much; -1: as the device has
  /// Blocks of a resident cluster, where it can be: with the same rows, or, of a batch whose rows
  /// meet, each with a share; 0: as the model says.
  int cluster = 0;
  bool hold = true;  ///< weights in registers where they fit
};
BlockChoice& block_choice();

/// One call's size.
struct BlockShape {
  int64_t batch = 0, steps = 0;
  bool keep = false, coupled = false;
  int entries = 1;  ///< of the initial states
  int64_t number_bytes = 4;
};

/// Where a product's packed weights lie: quads of one source, from `offset` on.
struct PackedPlace {
  int64_t offset = 0;
  int64_t numbers = 0;
};

/// What is the same for all shapes of a cell.
class BlockLayout {
 public:
  explicit BlockLayout(const Declaration& d);

  /// Source of Linear l that is multiplied before the loop, by one product over all steps; -1:
  /// none.
  int input_source(size_t l) const { return input_source_[l]; }
  /// The gradient of x is one product for each of those, after the loop.
  bool input_gradient_after() const { return input_gradient_after_; }
  /// Numbers of dW of Linear l: [rows][depth].
  int64_t depth(size_t l) const { return depth_[l]; }
  int source_size(size_t l, size_t source) const;
  int64_t packed_numbers() const { return packed_numbers_; }
  /// [Linear][source]; forward ones without numbers are multiplied before the loop.
  const PackedPlace& forward(size_t l, size_t source) const { return forward_[l][source]; }
  const PackedPlace& adjoint(size_t l, size_t source) const { return adjoint_[l][source]; }
  /// The dense weights [rows][size] of `input_source`.
  const PackedPlace& input(size_t l) const { return input_[l]; }
  const PackedPlace& bias(size_t l) const { return bias_[l]; }
  const Declaration& declaration() const { return d_; }

 private:
  void choose_input_sources();

  const Declaration& d_;
  std::vector<int> input_source_;
  bool input_gradient_after_ = false;
  std::vector<int64_t> depth_;
  std::vector<std::vector<PackedPlace>> forward_, adjoint_;
  std::vector<PackedPlace> input_, bias_;
  int64_t packed_numbers_ = 0;
};

/// What a direction keeps in shared memory.
struct SharedPlan {
  /// The first quads of a source's weights.
  struct Weights {
    int32_t begin = 0, quads = 0;
  };
  std::vector<int32_t> slots;                 ///< where each begins; -1: in global memory only
  std::vector<std::vector<Weights>> weights;  ///< [Linear][source]
  int32_t partials = 0, partial_numbers = 0;
  int32_t common = 0;  ///< of blocks that meet: see BlockArgs
  int32_t numbers = 0;
  bool held = false;  ///< the weights are in registers (block_held.h), and not in shared memory
  int64_t weight_numbers = 0, weight_numbers_shared = 0;  ///< of one block
};

/// Of the largest batch site; 0: there is none.
int most_features(const Declaration& d);

struct BlockPlan {
  BlockDriver driver = BlockDriver::kResident;
  int rows = 1;     ///< of a block, or of the blocks of a cluster with the same rows
  int blocks = 1;   ///< that have rows of their own: blocks, or clusters with the same rows
  int cluster = 1;  ///< blocks of each of those; 1: there are none
  int shares = 1;   ///< blocks that divide a batch whose rows meet, in one cluster
  int threads = 128;
  int64_t padded = 0;
  std::vector<BlockSlot> slots;
  int64_t storage_numbers = 0;
  SharedPlan forward, backward;
  std::string why;

  /// Blocks that a launch starts together.
  int together() const { return cluster * shares; }
  /// In words: what a user sees with `explain: true`.
  std::string explain(const Declaration& d, const BlockShape& shape) const;
  /// `cublas`: of the device; null: nothing is known of it.
  LoopPlan told(const BlockLayout& layout, const BlockShape& shape,
                const CublasReport* cublas) const;
};

BlockPlan plan_blocks(const BlockLayout& layout, const BlockShape& shape,
                      const BlockLimits& limits);

}  // namespace lookback
