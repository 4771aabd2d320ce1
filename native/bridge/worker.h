/// A job: work beside JavaScript, with a promise, progress and cancelling.
#pragma once

#include <napi.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "bridge/job_threads.h"
#include "model/trainer.h"

namespace lookback {

class Job;

/// The jobs of one environment that have not settled, and its threads that wait for others; touched
/// on its JavaScript thread only.
class JobList {
 public:
  void add(Job* job) { jobs_.insert(job); }
  void remove(Job* job) { jobs_.erase(job); }
  IdleThreads& idle_threads() { return idle_threads_; }
  /// Cancels all, then waits for all: the environment is going away.
  void stop_all();

 private:
  std::set<Job*> jobs_;
  IdleThreads idle_threads_;
};

/// What a job does. All but `work` run on the JavaScript thread.
struct JobPlan {
  /// Kept alive until the promise settles.
  Napi::ObjectReference owner;
  /// On the job's thread; no JavaScript.
  std::function<void(Job& job)> work;
  /// What the promise resolves with, if `work` did not throw.
  std::function<Napi::Value(Napi::Env)> result;
  /// Just before the promise settles, always; may be empty.
  std::function<void(Napi::Env)> settled;
  /// May be empty; if it throws, the job is cancelled and the promise rejects with that.
  Napi::FunctionReference on_progress;
};

/// Never libuv's pool: a training job would starve the file and DNS work of the whole process for
/// minutes. A job deletes itself after its promise has settled, or with its environment.
class Job {
 public:
  struct Started {
    Job* job;  ///< valid until `JobPlan::settled`
    Napi::Value promise;
  };
  /// JavaScript thread.
  static Started start(Napi::Env env, JobPlan plan);

  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Job thread: hands the newest numbers to `on_progress`. Coalesced: what JavaScript had no time
  /// for is overwritten.
  void progress(const Sums& sums);
  /// Any thread. The work ends with ERR_ABORTED within 10 ms.
  void cancel() { cancel_.store(true, std::memory_order_relaxed); }
  const std::atomic<bool>* cancel_flag() const { return &cancel_; }
  /// JavaScript thread: returns when the work has ended. The promise settles later.
  void join();

 private:
  Job(Napi::Env env, JobPlan plan);
  ~Job();

  void open_channel(Napi::Env env);
  void run();
  void wake_javascript();
  void deliver(Napi::Env env);
  void call_progress(Napi::Env env, const Sums& sums);
  void settle(Napi::Env env);

  JobPlan plan_;
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<JobList> jobs_;
  napi_threadsafe_function channel_ = nullptr;
  std::unique_ptr<JobThread> thread_;  ///< until the promise settles
  std::atomic<bool> cancel_{false};
  bool channel_closed_ = false;  ///< job thread only
  std::exception_ptr failure_;   ///< of `work`; read after the join
  std::exception_ptr thrown_;    ///< by `on_progress`; JavaScript thread only

  std::mutex mutex_;  ///< guards what follows
  std::optional<Sums> newest_;
  bool woken_ = false;
  bool finished_ = false;
};

}  // namespace lookback
