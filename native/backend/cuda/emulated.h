/// The threads of a block on a host: for tests without a GPU. A forgotten barrier is a data race
/// that ThreadSanitizer reports.
#pragma once

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

namespace lookback {

/// What the threads of one emulated block share.
struct EmulatedBlock {
  explicit EmulatedBlock(int threads) : barrier(threads) {}
  std::barrier<> barrier;
  bool stop = false;
};

class EmulatedThreads {
 public:
  EmulatedThreads(EmulatedBlock* block, int thread, int threads)
      : block_(block), thread_(thread), threads_(threads) {}
  int thread() const { return thread_; }
  int threads() const { return threads_; }
  void sync() const { block_->barrier.arrive_and_wait(); }
  bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    if (thread_ == 0) block_->stop = flag->load(std::memory_order_relaxed);
    sync();
    const bool stop = block_->stop;
    sync();
    return stop;
  }

 private:
  EmulatedBlock* block_;
  int thread_, threads_;
};

/// Calls body(EmulatedThreads) on `threads` host threads that form a block.
template <class Body>
void launch_emulated(int threads, Body body) {
  EmulatedBlock block(threads);
  std::vector<std::thread> team;
  for (int i = 1; i < threads; ++i) {
    team.emplace_back([&, i] { body(EmulatedThreads(&block, i, threads)); });
  }
  body(EmulatedThreads(&block, 0, threads));
  for (std::thread& member : team) member.join();
}

}  // namespace lookback
