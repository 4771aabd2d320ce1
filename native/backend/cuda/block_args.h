/// What the host hands to the kernels of a recurrence: plain structs of fixed size, which a launch
/// copies as they are. All pointers are the device's.
///
/// Batch rows are in order: a block, or the blocks of a cluster with the same rows, own `rows` of
/// them from a multiple of `rows` on. A slot lies in the device's memory as [depth][padded
/// rows][stride], units last, so that all its steps together are one matrix; beside that it may
/// have columns in the block's shared memory, [shared depth][rows][stride].
#pragma once

#include <cstdint>

#include "backend/sequence.h"
#include "base/rng.h"

namespace lookback {

constexpr int kMaxBlockSlots = 64;
constexpr int kMaxBlockVectors = 40;
constexpr int kMaxBlockSites = 8;
constexpr int kMaxBlockLinears = 8;
constexpr int kMaxCellBytes = 1024;

/// Rows whose sums a thread holds in registers at a time; the largest of 1, 2, 4, 8.
constexpr int kMostRows = 8;
/// The threads that a product of few outputs is cut for, whatever the block has: a row's sum must
/// not depend on that.
constexpr int kNominalThreads = 256;

/// Parts that the sums of a product of so many outputs are cut into.
constexpr int product_parts(int outputs) {
  return outputs < kNominalThreads ? kNominalThreads / outputs : 1;
}

/// Blocks of the largest cluster that every device with clusters has room for.
constexpr int kMostCluster = 8;
/// So that a thread has 255 registers.
constexpr int kMostBlockThreads = 256;

/// Outputs of a product of `rows` that each block of a cluster has; the last ones have fewer.
HD constexpr int cluster_part(int rows, int cluster) { return (rows + cluster - 1) / cluster; }

/// Neighbouring features that a block of a stepwise launch reduces over the batch: of floats a
/// sector of 32 bytes, so that neighbouring threads leave none of it unread. The fewer they are,
/// the more threads there are for each, and the more multiprocessors have some.
constexpr int kReductionWidth = 8;
/// What a thread tells the others of its part: count, mean and squares, or two sums.
constexpr int kReductionNumbers = 3;
/// Blocks of a stepwise launch that reduces so many features.
constexpr int reduction_blocks(int features) {
  return (features + kReductionWidth - 1) / kReductionWidth;
}

/// What a block that has a share of the batch tells the others at a time: two sums for each of a
/// site's features, behind those how many numbers were summed, and whether to stop.
HD constexpr int message_numbers(int features) { return 2 * features + 2; }

/// Which columns move between shared and global memory, and when.
enum BlockStaging : uint8_t {
  kNotStaged = 0,
  kLoadStep = 1,   ///< before each step: the column that comes into reach
  kStoreStep = 2,  ///< after each step: its own column
  kLoadAll = 4,    ///< before the first step
  kStoreAll = 8,   ///< after the last
};

struct BlockSlot : SlotPlace {
  int32_t stride = 0;   ///< numbers from row to row
  int32_t shared = -1;  ///< where its columns begin in shared memory; -1: they are not there
  bool sum = false;     ///< zero before backward
  int32_t reach = 0;    ///< steps back that shared memory holds besides the current one
  uint8_t staging = kNotStaged;
};

/// out[o] = initial + sum over the sources; a Linear's, or the adjoint of one of its sources.
template <class S>
struct BlockProduct {
  int32_t out = -1, out_dt = 0, out_begin = 0;
  int32_t rows = 0;  ///< outputs
  int32_t repeat = 1;
  int32_t sources = 0;
  int32_t chunks = 1;  ///< parts of a sum that threads share
  bool accumulate = false;
  const S* bias = nullptr;  ///< [rows] or null
  struct Source {
    int32_t slot = 0, dt = 0, begin = 0, size = 0;
    const S* weights = nullptr;  ///< [quads of k][rows][4], zeros behind the last k
    int32_t shared = 0;          ///< where the first quads lie in shared memory
    int32_t shared_quads = 0;    ///< how many do
  } source[kMaxSources];
};

template <class S>
struct BlockLinear {
  BlockProduct<S> forward;
  int32_t adjoints = 0;
  BlockProduct<S> adjoint[kMaxSources];
};

template <class S>
struct BlockArgs {
  SequenceArgs<S> walk;  ///< without slots, linears, vectors and sites, which are here
  BlockSlot slots[kMaxBlockSlots];
  BlockLinear<S> linears[kMaxBlockLinears];
  const S* vectors[kMaxBlockVectors] = {};
  BatchSiteState<S> sites[kMaxBlockSites];
  int32_t slot_count = 0;
  int32_t rows = 1;      ///< of a block
  int64_t padded = 0;    ///< rows of the batch, up to a multiple of `rows`
  int32_t partials = 0;  ///< in shared memory: room for parts of sums
  int32_t partial_numbers = 0;
  int32_t cluster = 1;  ///< blocks that own the same rows, each with its part of every product
  /// Blocks that divide a batch whose rows meet, in a cluster of their own; not beside `cluster`.
  int32_t shares = 1;
  /// In shared memory, of the former: who takes part, and whether to stop; of the latter: room for
  /// two messages.
  int32_t common = 0;
  int32_t message = 0;         ///< message_numbers of the largest site
  int32_t shared_numbers = 0;  ///< of a block, all of it
  bool held = false;           ///< the pass's one product has its weights in registers
  alignas(16) unsigned char cell[kMaxCellBytes] = {};
};

/// What part of a pass a launch runs.
enum class BlockPass : int32_t {
  kForward,  ///< all of it, in one kernel
  kBackward,
  // Of the stepwise driver, at `time`:
  kSurveyStep,
  kPool,
  kStart,
  kForwardStep,
  kTurn,
  kBackwardStep,
  kSettleStep,
  kFinish,
};

struct BlockWork {
  BlockPass pass = BlockPass::kForward;
  int32_t time = 0;
  /// Of a stepwise pass: the operations between product number `phase` and the next; -1: all.
  int32_t phase = -1;
  /// The phase is one reduction over the batch, its features over the grid, the rows of each cut
  /// among threads of a block.
  bool batchwise = false;
};

}  // namespace lookback
