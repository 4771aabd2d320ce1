/// The threads of a recurrence's block on a host: for tests without a GPU.
#pragma once

#include <atomic>

#include "backend/cuda/block_sync.h"
#include "backend/cuda/emulated_fibers.h"

namespace lookback {

/// In which order the threads of a block run, and which barrier they leave out; for tests.
struct EmulatedSchedule {
  bool descending = false;  ///< the last thread goes first
  SyncSite left_out = SyncSite::kCount;
};
EmulatedSchedule& emulated_schedule();

/// What the threads of one emulated block share.
struct EmulatedBlock {
  EmulatedBlock(int threads, SyncSite without) : team(threads), left_out(without) {}

  FiberTeam team;
  SyncSite left_out;
  bool stop = false;
};

class EmulatedThreads {
 public:
  static constexpr int kStopEvery = 1;
  /// So that few threads have room for as many shares as those of a GPU's block.
  static constexpr int kHeldShares = 128;
  EmulatedThreads(EmulatedBlock* shared, int thread, int threads, int block, int blocks)
      : shared_(shared), thread_(thread), threads_(threads), block_(block), blocks_(blocks) {}
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  int block() const { return block_; }
  int blocks() const { return blocks_; }
  void sync(SyncSite site) const {
    if (site != shared_->left_out) shared_->team.wait(thread_);
  }
  bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    if (thread_ == 0) shared_->stop = flag->load(std::memory_order_relaxed);
    shared_->team.wait(thread_);
    const bool stop = shared_->stop;
    shared_->team.wait(thread_);
    return stop;
  }

 private:
  EmulatedBlock* shared_;
  int thread_, threads_, block_, blocks_;
};

}  // namespace lookback
