#include "backend/barrier.h"

#include <sched.h>

namespace lookback {
namespace {

constexpr int kSpins = 2000;  // about 20 microseconds, then give the processor away

}  // namespace

bool Barrier::wait() {
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    return !abandoned();
  }
  for (int i = 0; phase_.load(std::memory_order_acquire) == phase; ++i) {
    if (abandoned()) return false;
    if (i >= kSpins) sched_yield();
  }
  return !abandoned();
}

bool TeamBarrier::wait_for(const std::atomic<uint32_t>& shown, uint32_t times) const {
  for (int i = 0; !has_come(shown, times); ++i) {
    if (abandoned()) return false;
    if (i >= kSpins) sched_yield();
  }
  return true;
}

}  // namespace lookback
