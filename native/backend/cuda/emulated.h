/// The threads of a block on a host: for tests without a GPU. A forgotten barrier is a data race
/// that ThreadSanitizer reports.
#pragma once

#include <atomic>
#include <barrier>
#include <cstdint>

#include "backend/cuda/block_sync.h"

namespace lookback {

/// What the threads of one emulated block share.
struct EmulatedBlock {
  explicit EmulatedBlock(int threads) : barrier(threads) {}
  std::barrier<> barrier;
  bool stop = false;
};

class EmulatedThreads {
 public:
  static constexpr int kStopEvery = 1;
  EmulatedThreads(EmulatedBlock* team, int thread, int threads, int block, int blocks)
      : team_(team), thread_(thread), threads_(threads), block_(block), blocks_(blocks) {}
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  int block() const { return block_; }
  int blocks() const { return blocks_; }
  void sync(SyncSite) const { team_->barrier.arrive_and_wait(); }
  bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    if (thread_ == 0) team_->stop = flag->load(std::memory_order_relaxed);
    team_->barrier.arrive_and_wait();
    const bool stop = team_->stop;
    team_->barrier.arrive_and_wait();
    return stop;
  }

 private:
  EmulatedBlock* team_;
  int thread_, threads_, block_, blocks_;
};

}  // namespace lookback
