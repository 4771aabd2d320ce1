/// The update of the parameters, and how all that belongs to it is taken back where it fails.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/trainer.h"

namespace lookback {
namespace {

/// Numbers that are copied or cleared between two looks at the cancel flag: memory that nobody has
/// touched yet costs a millisecond for each of its four megabytes, or more.
constexpr int64_t kPart = int64_t{1} << 20;

/// Work that is not to be left halfway: slots and parameters belong together.
template <class S>
class Uninterrupted {
 public:
  Uninterrupted(Backend<S>& backend, const std::atomic<bool>* cancel)
      : backend_(backend), cancel_(cancel) {
    backend_.set_cancel(nullptr);
  }
  ~Uninterrupted() { backend_.set_cancel(cancel_); }
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;

 private:
  Backend<S>& backend_;
  const std::atomic<bool>* cancel_;
};

}  // namespace

/// Clips, updates and counts; parameters stay as they were where the gradient or the result is not
/// finite.
template <class S>
void Trainer<S>::update(double rate_factor) {
  model_.touch();
  ParamArena<S>& grads = model_.grads();
  optimizer_->drop_frozen(grads);
  ParamArena<S>& params = model_.params();
  const double norm = std::sqrt(backend_.sum_squares(grads.size(), grads.data()));
  if (!std::isfinite(norm)) {
    const std::string where = model_.first_non_finite_segment(model_.param_layout(), grads);
    fail(ErrorCode::kNumeric,
         text("update ", counters_.updates + 1, ": the norm of the gradient is ", norm,
              where.empty() ? "" : ", first in the gradient of " + where,
              "; parameters are as after update ", counters_.updates,
              ". Lower learningRate, set clipNorm or scale the inputs"));
  }
  remember_params();
  check_cancel();  // the last time: a cancelled update has not been
  // Only where something may fail behind it that is not the update's own doing.
  const bool settles = model_.settles();
  if (settles) optimizer_->keep();
  bool finite = true;
  try {
    {
      const Uninterrupted<S> whole(backend_, cancel_);
      optimizer_->apply(counters_.updates + 1, rate_factor, norm, params, grads);
      finite = std::isfinite(backend_.sum_squares(params.size(), params.data()));
    }
    if (!finite) require_finite_params(rate_factor);
    settle(false);
  } catch (...) {
    restore_params();
    if (settles && finite) optimizer_->restore();
    throw;
  }
  ++counters_.updates;
}

template <class S>
void Trainer<S>::require_finite_params(double rate_factor) const {
  const std::string where = model_.first_non_finite_segment(model_.param_layout(), model_.params());
  REQUIRE(where.empty(), kNumeric, "update ", counters_.updates + 1, " with learningRate ",
          optimizer_->learning_rate() * rate_factor, " makes ", where,
          " infinite or NaN; parameters are as after update ", counters_.updates,
          ". Lower learningRate");
}

template <class S>
void Trainer<S>::settle(bool first) {
  for (const size_t segment : model_.settle(first)) optimizer_->reset(segment);
}

/// A run that goes on from a checkpoint has settled already.
template <class S>
void Trainer<S>::settle_once() {
  if (counters_.updates == 0 && !settled_ && model_.settles()) {
    remember_params();
    remember_buffers();
    try {
      settle(true);
    } catch (...) {
      restore_params();
      restore_buffers();
      throw;
    }
  }
  settled_ = true;
}

template <class S>
void Trainer<S>::remember_buffers() {
  const ParamArena<S>& buffers = model_.buffers();
  kept_buffers_.ensure(buffers.size(), "a copy of the running statistics");
  backend_.memory().copy(buffers.data(), buffers.size(), kept_buffers_.data());
}

template <class S>
void Trainer<S>::restore_buffers() {
  backend_.memory().copy(kept_buffers_.data(), kept_buffers_.size(), model_.buffers().data());
}

template <class S>
void Trainer<S>::remember_params() {
  const ParamArena<S>& params = model_.params();
  kept_params_.ensure(params.size(), "a copy of the parameters");
  for (int64_t at = 0; at < params.size(); at += kPart) {
    check_cancel();
    backend_.memory().copy(params.data() + at, std::min(kPart, params.size() - at),
                           kept_params_.data() + at);
  }
}

template <class S>
void Trainer<S>::clear_gradients() {
  ParamArena<S>& grads = model_.grads();
  for (int64_t at = 0; at < grads.size(); at += kPart) {
    check_cancel();
    backend_.memory().zero(grads.data() + at, std::min(kPart, grads.size() - at));
  }
}

template <class S>
void Trainer<S>::restore_params() {
  model_.touch();
  backend_.memory().copy(kept_params_.data(), kept_params_.size(), model_.params().data());
}

#define LOOKBACK_INSTANTIATE(S)                                  \
  template void Trainer<S>::update(double);                      \
  template void Trainer<S>::require_finite_params(double) const; \
  template void Trainer<S>::settle(bool);                        \
  template void Trainer<S>::settle_once();                       \
  template void Trainer<S>::remember_buffers();                  \
  template void Trainer<S>::restore_buffers();                   \
  template void Trainer<S>::remember_params();                   \
  template void Trainer<S>::clear_gradients();                   \
  template void Trainer<S>::restore_params();
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
