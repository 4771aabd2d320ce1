#include "bridge/worker.h"

#include "bridge/addon.h"
#include "bridge/convert.h"
#include "bridge/errors.h"

namespace lookback {

void JobList::stop_all() {
  for (Job* job : jobs_) job->cancel();
  for (Job* job : jobs_) job->join();
  idle_threads_.clear();
}

Job::Job(Napi::Env env, JobPlan plan)
    : plan_(std::move(plan)), deferred_(env), jobs_(addon_data(env).jobs) {
  jobs_->add(this);
}

Job::~Job() { jobs_->remove(this); }

Job::Started Job::start(Napi::Env env, JobPlan plan) {
  Job* job = new Job(env, std::move(plan));
  try {
    job->open_channel(env);
  } catch (...) {
    job->deferred_.Resolve(env.Undefined());
    delete job;
    throw;
  }
  // From here on the channel's finalizer deletes the job.
  try {
    job->thread_ = job->jobs_->idle_threads().take();
    job->thread_->start([job] { job->run(); });
  } catch (...) {
    job->deferred_.Resolve(env.Undefined());
    napi_release_threadsafe_function(job->channel_, napi_tsfn_abort);
    throw;
  }
  return {job, job->deferred_.Promise()};
}

void Job::open_channel(Napi::Env env) {
  const auto finalize = [](napi_env, void* job, void*) { delete static_cast<Job*>(job); };
  const auto call = [](napi_env call_env, napi_value, void* context, void*) {
    if (call_env == nullptr)
      return;  // The environment is going away; nobody waits for the promise.
    try {
      static_cast<Job*>(context)->deliver(call_env);
    } catch (...) {
      // Only an environment that no longer runs JavaScript gets here, and it has nobody to tell.
    }
  };
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "lookback.job"),
                                      0, 1, this, finalize, this, call, &channel_);
  NAPI_THROW_IF_FAILED_VOID(env, status);
}

void Job::run() {
  try {
    plan_.work(*this);
  } catch (...) {
    failure_ = std::current_exception();
  }
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished_ = true;
    wake = !woken_;
    woken_ = true;
  }
  if (wake) wake_javascript();
  if (!channel_closed_) napi_release_threadsafe_function(channel_, napi_tsfn_release);
}

void Job::progress(const Sums& sums) {
  if (plan_.on_progress.IsEmpty()) return;
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    newest_ = sums;
    wake = !woken_;
    woken_ = true;
  }
  if (wake) wake_javascript();
}

void Job::wake_javascript() {
  if (channel_closed_) return;
  const napi_status status =
      napi_call_threadsafe_function(channel_, nullptr, napi_tsfn_nonblocking);
  // A closing channel has let go of this thread already; touching it again would be a use after
  // free.
  channel_closed_ = status == napi_closing;
}

void Job::join() {
  if (thread_) thread_->wait();
}

void Job::deliver(Napi::Env env) {
  std::optional<Sums> sums;
  bool finished = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sums.swap(newest_);
    woken_ = false;
    finished = finished_;
  }
  if (sums) call_progress(env, *sums);
  if (finished) settle(env);
}

void Job::call_progress(Napi::Env env, const Sums& sums) {
  if (thrown_) return;
  try {
    plan_.on_progress.Call({write_sums(env, sums)});
  } catch (...) {
    thrown_ = std::current_exception();
    cancel();
  }
}

void Job::settle(Napi::Env env) {
  join();
  jobs_->idle_threads().give_back(std::move(thread_));
  try {
    if (plan_.settled) plan_.settled(env);
    if (thrown_) std::rethrow_exception(thrown_);
    if (failure_) std::rethrow_exception(failure_);
    deferred_.Resolve(plan_.result(env));
  } catch (...) {
    try {
      deferred_.Reject(to_js_error(env, std::current_exception()).Value());
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }
}

}  // namespace lookback
