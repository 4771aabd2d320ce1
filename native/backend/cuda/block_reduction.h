/// Statistics and sums over the batch by the threads of a block.
///
/// A resident block's threads take whole features. Of a stepwise launch, whose numbers are far away
/// and all rows' at that, each block takes kReductionWidth neighbouring features and cuts the rows
/// (of few rows the entries too) among as many threads as it has for each of those. What they have
/// found meets in shared memory by halves, in an order that depends on their number alone.
#pragma once

#include "backend/cuda/block_args.h"
#include "backend/cuda/block_sync.h"
#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// Of some numbers: how many, their mean, and the sum of their squared distances from it.
template <class S>
struct Spread {
  S count, mean, squares;

  /// More numbers come in (Chan, Golub and LeVeque, 1979).
  HD void add(const Spread& more) {
    if (more.count == S(0)) return;
    const S all = count + more.count;
    const S apart = count > S(0) ? more.mean - mean : S(0);
    mean = count > S(0) ? mean + apart * (more.count / all) : more.mean;
    squares += more.squares + apart * apart * (count * more.count / all);
    count = all;
  }
};

/// Two sums over the same rows.
template <class S>
struct SumPair {
  S first, second;

  HD void add(const SumPair& more) {
    first += more.first;
    second += more.second;
  }
};

/// Which of a feature's numbers are part `part` of `parts`: rows and entries in strides. Each is in
/// one part; one that has none begins behind the last row.
struct ReductionSlice {
  int row = 0, row_stride = 1;
  int entry = 0, entry_stride = 1;

  HD ReductionSlice(int part, int parts, int rows, int entries) {
    if (parts == 1) return;
    row_stride = rows < parts ? rows : parts;
    const int left = parts / row_stride;
    entry_stride = entries < left ? entries : left;
    entry = part / row_stride;
    row = entry < entry_stride ? part % row_stride : rows;
  }
};

/// What a thread does of a reduction: features in strides, of each the whole or a part.
class ReductionShare {
 public:
  /// `cut`: a launch is for the reduction, with a block for every kReductionWidth features.
  template <class Threads>
  HD ReductionShare(Threads threads, bool cut) {
    if (cut) {
      lane_ = threads.thread() % kReductionWidth;
      part_ = threads.thread() / kReductionWidth;
      parts_ = threads.threads() / kReductionWidth;
      first_ = threads.block() * kReductionWidth + lane_;
      stride_ = kNoNext;
    } else {
      first_ = threads.thread();
      stride_ = threads.threads();
    }
  }

  HD int first() const { return first_; }
  HD int stride() const { return stride_; }
  /// Whether some thread that this one meets has a feature where this one has `j`.
  HD bool goes_on(int j, int features) const { return j - lane_ < features; }
  /// Whether the thread has the whole of feature `j` in the end.
  HD bool tells(int j, int features) const { return part_ == 0 && j < features; }

  HD ReductionSlice slice(int rows, int entries) const { return {part_, parts_, rows, entries}; }

  /// All parts together, for the thread that tells of them. `room`: in shared memory, for one of
  /// every thread.
  template <class Threads, class Part>
  HD Part total(Threads threads, Part own, Part* room) const {
    if (parts_ == 1) return own;
    Part* const told = room + threads.thread();
    *told = own;
    for (int left = parts_, half; left > 1; left = half) {
      half = (left + 1) / 2;
      threads.sync(left == parts_ ? SyncSite::kParts : SyncSite::kHalves);
      if (part_ >= left / 2) continue;
      own.add(told[half * kReductionWidth]);
      *told = own;
    }
    return own;
  }

 private:
  /// Behind all features: a thread that shares one has no other, whose parts would meet where those
  /// of the first may still be read.
  static constexpr int kNoNext = 1 << 30;

  int first_, stride_;
  int lane_ = 0;  ///< among those with the same part
  int part_ = 0, parts_ = 1;
};

}  // namespace lookback
