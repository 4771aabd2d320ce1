/// Threads that jobs run on. One that has ended its job waits for the next: to start a thread takes
/// longer than a small job.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lookback {

/// Runs one task after another. What is public is for one thread, the one that made it.
class JobThread {
 public:
  /// Throws std::system_error where the system has no thread left.
  JobThread();
  /// Waits for its task.
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  /// The task before it has ended, and it throws nothing.
  void start(std::function<void()> task);
  /// Returns when its task has ended; at once where there is none.
  void wait();

 private:
  void run();
  bool await_task(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  std::function<void()> task_;  ///< empty: none, or ended
  bool stop_ = false;

  std::thread thread_;  ///< the last: it reads the others
};

/// Threads without a job.
class IdleThreads {
 public:
  /// One of them, or a new one. Throws std::system_error, std::bad_alloc.
  std::unique_ptr<JobThread> take();
  /// Its task has ended. A few are kept, and the others end.
  void give_back(std::unique_ptr<JobThread> thread) noexcept;
  /// Ends all.
  void clear() { threads_.clear(); }

 private:
  std::vector<std::unique_ptr<JobThread>> threads_;
};

}  // namespace lookback
