#include "bridge/job_threads.h"

#include <chrono>

#include "base/large_blocks.h"

namespace lookback {
namespace {

/// As many as a server has jobs at a time and no more.
constexpr size_t kIdleThreads = 4;

/// After this long without a job its memory will not be wanted again soon.
constexpr std::chrono::seconds kIdle{2};

}  // namespace

JobThread::JobThread() : thread_([this] { run(); }) {}

JobThread::~JobThread() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void JobThread::start(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = std::move(task);
  }
  changed_.notify_all();
}

void JobThread::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !task_; });
}

void JobThread::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (await_task(lock)) {
    lock.unlock();
    task_();  // Nobody replaces it before it has ended.
    lock.lock();
    task_ = nullptr;
    changed_.notify_all();
  }
}

/// False: there will be none.
bool JobThread::await_task(std::unique_lock<std::mutex>& lock) {
  const auto wanted = [this] { return task_ || stop_; };
  if (!changed_.wait_for(lock, kIdle, wanted)) {
    lock.unlock();
    release_spare_blocks();
    lock.lock();
    changed_.wait(lock, wanted);
  }
  return static_cast<bool>(task_);
}

std::unique_ptr<JobThread> IdleThreads::take() {
  // Room for it to come back to, so that giving back needs no memory.
  threads_.reserve(kIdleThreads);
  if (threads_.empty()) return std::make_unique<JobThread>();
  std::unique_ptr<JobThread> thread = std::move(threads_.back());
  threads_.pop_back();
  return thread;
}

void IdleThreads::give_back(std::unique_ptr<JobThread> thread) noexcept {
  if (threads_.size() < kIdleThreads) threads_.push_back(std::move(thread));
}

}  // namespace lookback
