#include "bridge/job_threads.h"

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/large_blocks.h"

namespace lookback {
namespace {

/// As many as a server has jobs at a time and no more.
constexpr size_t kIdleThreads = 4;

/// After this long without a job the memory of the last ones will not be wanted again soon.
constexpr std::chrono::seconds kIdle{2};

/// Of the whole process, as its memory is.
std::atomic<uint64_t> started{0}, ended{0};

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
    started.fetch_add(1);
    task_();  // Nobody replaces it before it has ended.
    ended.fetch_add(1);
    lock.lock();
    task_ = nullptr;
    changed_.notify_all();
  }
}

/// False: there will be none.
bool JobThread::await_task(std::unique_lock<std::mutex>& lock) {
  uint64_t before = started;
  while (!changed_.wait_for(lock, kIdle, [this] { return task_ || stop_; })) {
    // Again and again: JavaScript lets go of models and results when it likes.
    const uint64_t now = started;
    lock.unlock();  // a job may come meanwhile
    if (now == before && now == ended) release_spare_blocks();
    lock.lock();
    before = now;
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
