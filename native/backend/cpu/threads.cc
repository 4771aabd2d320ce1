#include "backend/cpu/threads.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace lookback {
namespace {

/// A training step has about ten parallel regions a few microseconds apart; waking a sleeping
/// thread costs 10 to 50 microseconds. So workers look for new work this many times (some 30
/// microseconds) before they sleep.
constexpr int kSpins = 4000;

void pause_cpu() {
#if defined(__SSE2__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

void end_threads(std::vector<std::thread>& threads, std::atomic<bool>& stop, std::mutex& mutex,
                 std::condition_variable& wake) {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    stop = true;
  }
  wake.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    workers_.reserve(static_cast<size_t>(threads) - 1);
    for (int worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker] { serve(worker); });
    }
  } catch (...) {
    // A thread that nobody has joined would end the process.
    end_threads(workers_, stop_, mutex_, wake_);
    throw;
  }
}

ThreadPool::~ThreadPool() { end_threads(workers_, stop_, mutex_, wake_); }

void ThreadPool::work(int worker) {
  const FlushDenormals flush;
  try {
    (*job_)(worker);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

/// A worker that is woken while another thread is about to fall asleep finds no processor idle, is
/// put behind the one that woke it, and stays there until the system looks again, milliseconds
/// later: as long as many a job takes.
void ThreadPool::keep_off_this_processor() {
#if defined(__linux__)
  const int processor = sched_getcpu();
  if (processor == kept_off_) return;
  kept_off_ = processor;
  cpu_set_t others;
  if (processor < 0 || sched_getaffinity(0, sizeof others, &others) != 0) return;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) < static_cast<int>(workers_.size())) return;
  for (std::thread& worker : workers_)
    pthread_setaffinity_np(worker.native_handle(), sizeof others, &others);
#endif
}

void ThreadPool::run(const std::function<void(int)>& f) {
  job_ = &f;
  failure_ = nullptr;
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  if (!workers_.empty()) {
    keep_off_this_processor();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
  }
  work(0);
  for (int i = 0; i < kSpins && running_.load(std::memory_order_acquire) != 0; ++i) pause_cpu();
  if (running_.load(std::memory_order_acquire) != 0) {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_.load(std::memory_order_acquire) == 0; });
  }
  job_ = nullptr;
  if (failure_) std::rethrow_exception(failure_);
}

void ThreadPool::serve(int worker) {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) {
      pause_cpu();
    }
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock,
                 [&] { return stop_ || generation_.load(std::memory_order_acquire) != seen; });
    }
    if (stop_) return;
    seen = generation_.load(std::memory_order_acquire);
    work(worker);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
  }
}

namespace {

/// CPUs granted by the container, or 0 where there is no quota.
double cgroup_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double granted = 0;
  if (v1_quota >> granted && v1_period >> period && granted > 0 && period > 0)
    return granted / period;
  return 0;
}

}  // namespace

int default_threads(const char** reason) {
  int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  *reason = "number of processors";
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    cpus = std::max(1, CPU_COUNT(&set));
    *reason = "CPU affinity";
  }
#endif
  const double quota = cgroup_quota();
  if (quota > 0 && std::ceil(quota) < cpus) {
    cpus = std::max(1, static_cast<int>(std::ceil(quota)));
    *reason = "the container's CPU quota";
  }
  return cpus;
}

}  // namespace lookback
