/// Worker threads of one engine and the barrier inside a parallel region.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/cpu/denormals.h"

namespace lookback {

/// A fixed team of threads. The caller of `run` is worker 0, so a pool of one makes no thread at
/// all. Denormals are flushed to zero on every worker for the length of `run`: one stated policy,
/// and no hundredfold slowdown when a forget gate has closed.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  /// Calls f(worker) once on each worker and returns when all are done. The first exception is
  /// rethrown here. Workers keep off the processor that the caller is on, where there is one for
  /// each of the team.
  void run(const std::function<void(int worker)>& f);
  /// Likewise on the first `workers` only. The caller alone wakes nobody: that would cost a step of
  /// one row more than its numbers do.
  template <class F>
  void run(int workers, const F& f) {
    if (workers > 1) {
      const auto some = [&](int worker) {
        if (worker < workers) f(worker);
      };
      run(std::ref(some));  // a copy would be one on the heap
    } else {
      const FlushDenormals flush;
      f(0);
    }
  }

 private:
  void serve(int worker);
  void work(int worker);
  void keep_off_this_processor();

  std::vector<std::thread> workers_;
  const std::function<void(int)>* job_ = nullptr;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::exception_ptr failure_;
  [[maybe_unused]] int kept_off_ = -1;  ///< the processor that no worker may be on
};

/// What every recurrence of one backend shares.
struct CpuRuntime {
  explicit CpuRuntime(int threads) : pool(threads) {}
  ThreadPool pool;
  const std::atomic<bool>* cancel = nullptr;
  /// Weights of a step that make it worth a worker's while to share a single row. Tests lower it.
  int64_t member_weights = 32768;
};

/// The default number of threads: CPU affinity, cut down to the container's quota (cgroup v1 and
/// v2).
int default_threads(const char** reason);

}  // namespace lookback
