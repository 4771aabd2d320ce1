#include "model/optimizer.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A number within [low, high).
double bounded(const Spec& spec, const char* key, double fallback, double low, double high) {
  const double value = spec.number(key, fallback);
  REQUIRE(value >= low && value < high, kOption, "optimizer option ", key, " is ", value,
          "; expected a number in [", low, ", ", high, ")");
  return value;
}

template <class S>
OptimizerStep<S> read_step(const Spec& spec) {
  require_known_options("optimizer", spec,
                        {"kind", "beta1", "beta2", "epsilon", "momentum", "nesterov", "rho", "l2",
                         "weightDecay", "clipNorm"});
  OptimizerStep<S> step;
  step.kind = static_cast<OptimizerKind>(spec.choice("kind", {"sgd", "rmsprop", "adam", "adamw"}));
  const bool adamw = step.kind == OptimizerKind::kAdamW;
  step.beta1 = bounded(spec, "beta1", 0.9, 0, 1);
  step.beta2 = bounded(spec, "beta2", 0.999, 0, 1);
  step.epsilon = bounded(spec, "epsilon", 1e-8, 0, kInfinity);
  step.momentum = bounded(spec, "momentum", 0, 0, 1);
  step.rho = bounded(spec, "rho", 0.99, 0, 1);
  step.nesterov = spec.flag("nesterov", false);
  step.l2 = bounded(spec, "l2", 0, 0, kInfinity);
  step.weight_decay = bounded(spec, "weightDecay", adamw ? 0.01 : 0, 0, kInfinity);
  return step;
}

}  // namespace

template <class S>
Optimizer<S>::Optimizer(const Spec& spec, const ArenaLayout& layout) : step_(read_step<S>(spec)) {
  clip_norm_ = bounded(spec, "clipNorm", 0, 0, kInfinity);
  const auto add_slot = [&](const char* name) {
    slots_.push_back({name, ParamArena<S>(layout, "the optimizer's slots")});
  };
  switch (step_.kind) {
    case OptimizerKind::kSgd:
      if (step_.momentum > 0) add_slot("momentum");
      break;
    case OptimizerKind::kRmsprop:
      if (step_.momentum > 0) add_slot("momentum");
      add_slot("meanSquare");
      break;
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      add_slot("firstMoment");
      add_slot("secondMoment");
      break;
  }
  const std::vector<Segment>& segments = layout.segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    if (!segments[i].trainable) continue;
    const int64_t begin = segments[i].offset;
    const int64_t end = i + 1 < segments.size() ? segments[i + 1].offset : layout.total();
    if (!ranges_.empty() && ranges_.back().end == begin) {
      ranges_.back().end = end;
    } else {
      ranges_.push_back({begin, end});
    }
  }
}

template <class S>
int64_t Optimizer<S>::bytes() const {
  int64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.values.bytes();
  return sum;
}

template <class S>
void Optimizer<S>::apply(Backend<S>& backend, int64_t update, double learning_rate,
                         double grad_norm, ParamArena<S>& params, const ParamArena<S>& grads) {
  const bool has_first = step_.kind != OptimizerKind::kRmsprop || step_.momentum > 0;
  S* first = has_first && !slots_.empty() ? slots_.front().values.data() : nullptr;
  S* second = slots_.empty() ? nullptr : slots_.back().values.data();
  for (const Range& range : ranges_) {
    OptimizerStep<S> step = step_;
    step.n = range.end - range.begin;
    step.param = params.data() + range.begin;
    step.grad = grads.data() + range.begin;
    step.slot0 = first == nullptr ? nullptr : first + range.begin;
    step.slot1 = second == nullptr ? nullptr : second + range.begin;
    step.step = update;
    step.learning_rate = learning_rate;
    step.grad_scale = clip_norm_ > 0 && grad_norm > clip_norm_ ? clip_norm_ / grad_norm : 1.0;
    backend.update(step);
  }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace lookback
