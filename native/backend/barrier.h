/// The barrier of a time loop whose rows are coupled.
#pragma once

#include <atomic>
#include <cstdint>

namespace lookback {

/// Waits by spinning, then by yielding: two spinning threads meet in well under a microsecond, but
/// on a host with more runnable threads than processors only a yield lets the missing one run.
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

}  // namespace lookback
