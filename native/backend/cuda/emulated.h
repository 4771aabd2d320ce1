/// The threads of a block on a host: for tests without a GPU. On threads of their own a forgotten
/// barrier is a data race that ThreadSanitizer reports. As fibers of one thread, which is the usual
/// way since it is a hundred times as fast, each runs from barrier to barrier while the others
/// wait, so a barrier left out gives wrong numbers, the same ones every time.
#pragma once

#include <ucontext.h>

#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "backend/cuda/block_sync.h"

namespace lookback {

/// How the threads of a block run, and which barrier they leave out; for tests.
struct EmulatedSchedule {
  enum Order {
    kTogether,   ///< on threads
    kAscending,  ///< as fibers, thread 0 first
    kDescending
  };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  Order order = kTogether;
#else
  Order order = kAscending;
#endif
  SyncSite left_out = SyncSite::kCount;
};
EmulatedSchedule& emulated_schedule();

/// What the threads of one emulated block share.
class EmulatedBlock {
 public:
  EmulatedBlock(int threads, EmulatedSchedule schedule)
      : threads_(threads), schedule_(schedule), barrier_(threads) {}
  EmulatedBlock(const EmulatedBlock&) = delete;
  EmulatedBlock& operator=(const EmulatedBlock&) = delete;

  const EmulatedSchedule& schedule() const { return schedule_; }
  /// Calls member(thread) for all of them, and returns when all are done.
  void run(const std::function<void(int)>& member) {
    if (schedule_.order != EmulatedSchedule::kTogether) return run_fibers(member);
    std::vector<std::thread> team;
    for (int thread = 1; thread < threads_; ++thread) team.emplace_back(member, thread);
    member(0);
    for (std::thread& each : team) each.join();
  }
  /// For the other threads of the block.
  void wait(int thread) {
    if (schedule_.order == EmulatedSchedule::kTogether) return barrier_.arrive_and_wait();
    const size_t own = place(thread), next = (own + 1) % fibers_.size();
    swapcontext(&fibers_[own].context, &fibers_[next].context);
  }
  bool stop = false;

 private:
  static constexpr size_t kStack = 512 << 10;
  struct Fiber {
    ucontext_t context = {};
    std::vector<char> stack = std::vector<char>(kStack);
  };

  size_t place(int thread) const {
    const bool ascending = schedule_.order == EmulatedSchedule::kAscending;
    return static_cast<size_t>(ascending ? thread : threads_ - 1 - thread);
  }
  /// All meet equally often, so they end in the order in which they began.
  void run_fibers(const std::function<void(int)>& member) {
    fibers_ = std::vector<Fiber>(static_cast<size_t>(threads_));
    member_ = &member;
    for (int thread = 0; thread < threads_; ++thread) {
      const size_t own = place(thread);
      Fiber& fiber = fibers_[own];
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
      fiber.context.uc_stack.ss_size = kStack;
      fiber.context.uc_link = own + 1 < fibers_.size() ? &fibers_[own + 1].context : &caller_;
      const auto self = reinterpret_cast<uintptr_t>(this);
      makecontext(&fiber.context, reinterpret_cast<void (*)()>(&EmulatedBlock::begin), 3,
                  static_cast<unsigned>(self), static_cast<unsigned>(self >> 32), thread);
    }
    swapcontext(&caller_, &fibers_.front().context);
  }
  static void begin(unsigned low, unsigned high, int thread) {
    const auto self = static_cast<uintptr_t>(low) | static_cast<uintptr_t>(high) << 32;
    (*reinterpret_cast<EmulatedBlock*>(self)->member_)(thread);
  }

  int threads_;
  EmulatedSchedule schedule_;
  std::barrier<> barrier_;
  std::vector<Fiber> fibers_;
  ucontext_t caller_ = {};
  const std::function<void(int)>* member_ = nullptr;
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
  void sync(SyncSite site) const {
    if (site != team_->schedule().left_out) team_->wait(thread_);
  }
  bool agree(const std::atomic<bool>* flag) const {
    if (flag == nullptr) return false;
    if (thread_ == 0) team_->stop = flag->load(std::memory_order_relaxed);
    team_->wait(thread_);
    const bool stop = team_->stop;
    team_->wait(thread_);
    return stop;
  }

 private:
  EmulatedBlock* team_;
  int thread_, threads_, block_, blocks_;
};

}  // namespace lookback
