/// Where the threads of a time loop meet, within a step.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lookback {

/// Waits by spinning, then by yielding: two spinning threads meet in well under a microsecond, but
/// on a host with more runnable threads than processors only a yield lets the missing one run.
/// For workers whose rows are coupled.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  /// Returns false, on all members, once `abandon` was called.
  bool wait();
  /// Releases everybody for good: a member has failed or the call was cancelled.
  void abandon() { abandoned_.store(true, std::memory_order_release); }
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
  std::atomic<bool> abandoned_{false};
};

/// Of a few threads that meet several times in a microsecond, since they share a row. Each shows in
/// a cache line of its own how often it has come: what one writes reaches the others on one way
/// through the caches, where a common count takes two or three.
class TeamBarrier {
 public:
  static constexpr int kMost = 8;

  /// As those of Barrier; `member` of 0 to `members` - 1.
  bool wait(int member, int members) {
    const uint32_t times = shown_[member].times.load(std::memory_order_relaxed) + 1;
    shown_[member].times.store(times, std::memory_order_release);
    for (int other = 0; other < members; ++other)
      if (!wait_for(shown_[other].times, times)) return false;
    return !abandoned();
  }
  void abandon() { abandoned_.store(true, std::memory_order_release); }
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

 private:
  /// Another may have come to the next meeting already.
  static bool has_come(const std::atomic<uint32_t>& shown, uint32_t times) {
    return static_cast<int32_t>(shown.load(std::memory_order_acquire) - times) >= 0;
  }
  bool wait_for(const std::atomic<uint32_t>& shown, uint32_t times) const;

  /// Two lines apart: hardware fetches them by pairs.
  static constexpr size_t kApart = 128;
  struct alignas(kApart) Shown {
    std::atomic<uint32_t> times{0};
  } shown_[kMost];
  alignas(kApart) std::atomic<bool> abandoned_{false};
};

}  // namespace lookback
