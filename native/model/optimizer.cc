#include "model/optimizer.h"

#include <algorithm>
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

double default_epsilon(OptimizerKind kind) {
  if (kind == OptimizerKind::kAdagrad) return 1e-10;
  return kind == OptimizerKind::kAdadelta ? 1e-6 : 1e-8;
}

template <class S>
OptimizerStep<S> read_step(const Spec& spec) {
  require_known_options("optimizer", spec,
                        {"kind", "learningRate", "beta1", "beta2", "epsilon", "momentum",
                         "nesterov", "rho", "amsgrad", "epsilonInside", "initialMeanSquare",
                         "initialAccumulator", "l2", "weightDecay", "clipValue", "clipNorm"});
  OptimizerStep<S> step;
  step.kind = static_cast<OptimizerKind>(
      spec.choice("kind", {"sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta"}));
  const bool adamw = step.kind == OptimizerKind::kAdamW;
  const bool adadelta = step.kind == OptimizerKind::kAdadelta;
  step.beta1 = bounded(spec, "beta1", 0.9, 0, 1);
  step.beta2 = bounded(spec, "beta2", 0.999, 0, 1);
  step.epsilon = bounded(spec, "epsilon", default_epsilon(step.kind), 0, kInfinity);
  step.momentum = bounded(spec, "momentum", 0, 0, 1);
  step.rho = bounded(spec, "rho", adadelta ? 0.9 : 0.99, 0, 1);
  step.nesterov = spec.flag("nesterov", false);
  step.epsilon_inside = spec.flag("epsilonInside", false);
  step.l2 = bounded(spec, "l2", 0, 0, kInfinity);
  step.weight_decay = bounded(spec, "weightDecay", adamw ? 0.01 : 0, 0, kInfinity);
  const double clip_value = bounded(spec, "clipValue", 0, 0, kInfinity);
  step.clip_value = clip_value > 0 ? clip_value : kInfinity;
  return step;
}

}  // namespace

template <class S>
typename Optimizer<S>::Group Optimizer<S>::read_group(const Spec& spec) {
  Group group;
  group.step = read_step<S>(spec);
  group.learning_rate = bounded(spec, "learningRate", 1, 0, kInfinity);
  const auto has = [&group](int place, const char* name, double start = 0) {
    group.slot[place] = name;
    group.start[place] = start;
  };
  switch (group.step.kind) {
    case OptimizerKind::kSgd:
      if (group.step.momentum > 0) has(0, "momentum");
      break;
    case OptimizerKind::kRmsprop:
      if (group.step.momentum > 0) has(0, "momentum");
      has(1, "meanSquare", bounded(spec, "initialMeanSquare", 0, 0, kInfinity));
      break;
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      has(0, "firstMoment");
      has(1, "secondMoment");
      if (spec.flag("amsgrad", false)) has(2, "largestSecondMoment");
      break;
    case OptimizerKind::kAdagrad:
      has(0, "sumOfSquares", bounded(spec, "initialAccumulator", 0, 0, kInfinity));
      REQUIRE(
          group.start[0] > 0 || group.step.epsilon > 0, kOption,
          "optimizer options initialAccumulator and epsilon are both 0, so a gradient of 0 would "
          "be divided by 0; expected one above 0");
      break;
    case OptimizerKind::kAdadelta:
      has(0, "meanSquare");
      has(1, "meanSquareStep");
      break;
  }
  return group;
}

template <class S>
Optimizer<S>::Optimizer(Backend<S>& backend, const Spec& spec,
                        const std::vector<ParamGroup>& groups, const ArenaLayout& layout)
    : backend_(&backend), layout_(layout), group_of_(layout.segments().size(), 0) {
  groups_.push_back(read_group(spec));
  clip_norm_ = bounded(spec, "clipNorm", 0, 0, kInfinity);
  for (const ParamGroup& group : groups) {
    REQUIRE(!group.optimizer.has("clipNorm"), kOption,
            "clipNorm limits the gradients of all groups together; give it to the main optimizer");
    groups_.push_back(group.trainable ? read_group(group.optimizer) : Group());
    groups_.back().trainable = group.trainable;
  }
  place_params(groups);
  for (int place = 0; place < kPlaces; ++place) {
    const bool used = std::any_of(groups_.begin(), groups_.end(), [place](const Group& group) {
      return group.slot[place] != nullptr;
    });
    if (used) places_[place] = ParamArena<S>(layout, "the optimizer's slots", backend.memory());
  }
  for (size_t i = 0; i < group_of_.size(); ++i) reset(i);
  place_ranges();
}

template <class S>
void Optimizer<S>::place_params(const std::vector<ParamGroup>& groups) {
  const std::vector<Segment>& segments = layout_.segments();
  for (size_t number = 0; number < groups.size(); ++number) {
    for (const std::string& name : groups[number].params) {
      const auto it = std::find_if(segments.begin(), segments.end(),
                                   [&name](const Segment& each) { return each.name == name; });
      REQUIRE(it != segments.end(), kOption, "group ", number, " has the parameter '", name,
              "', which the model has not");
      size_t& group = group_of_[static_cast<size_t>(it - segments.begin())];
      REQUIRE(group == 0, kOption, "parameter '", name, "' is in two groups, or twice in one");
      group = number + 1;
    }
  }
}

template <class S>
int64_t Optimizer<S>::end_of(size_t segment) const {
  const std::vector<Segment>& segments = layout_.segments();
  return segment + 1 < segments.size() ? segments[segment + 1].offset : layout_.total();
}

template <class S>
void Optimizer<S>::place_ranges() {
  const std::vector<Segment>& segments = layout_.segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    if (!segments[i].trainable || !groups_[group_of_[i]].trainable) continue;
    const Range range{segments[i].offset, end_of(i), group_of_[i]};
    if (!ranges_.empty() && ranges_.back().end == range.begin &&
        ranges_.back().group == range.group) {
      ranges_.back().end = range.end;
    } else {
      ranges_.push_back(range);
    }
  }
}

template <class S>
std::vector<typename Optimizer<S>::Slot> Optimizer<S>::slots() {
  std::vector<Slot> list;
  const std::vector<Segment>& segments = layout_.segments();
  for (int place = 0; place < kPlaces; ++place) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const char* name = groups_[group_of_[i]].slot[place];
      if (name != nullptr) list.push_back({name, &segments[i], places_[place].at(segments[i])});
    }
  }
  return list;
}

template <class S>
void Optimizer<S>::keep() {
  for (int place = 0; place < kPlaces; ++place) {
    if (kept_[place].size() != places_[place].size())
      kept_[place] = ParamArena<S>(layout_, "a copy of the optimizer's slots", backend_->memory());
    backend_->memory().copy(places_[place].data(), places_[place].size(), kept_[place].data());
  }
}

template <class S>
void Optimizer<S>::restore() {
  for (int place = 0; place < kPlaces; ++place)
    backend_->memory().copy(kept_[place].data(), kept_[place].size(), places_[place].data());
}

/// Gaps start like their parameter: there the gradient is 0, and no rule divides it by 0.
template <class S>
void Optimizer<S>::reset(size_t segment) {
  const Group& group = groups_[group_of_[segment]];
  const int64_t begin = layout_.segments()[segment].offset;
  for (int place = 0; place < kPlaces; ++place) {
    if (group.slot[place] == nullptr) continue;
    backend_->fill(end_of(segment) - begin, static_cast<S>(group.start[place]),
                   places_[place].data() + begin);
  }
}

template <class S>
int64_t Optimizer<S>::bytes() const {
  int64_t sum = 0;
  for (const ParamArena<S>& place : places_) sum += place.bytes();
  for (const ParamArena<S>& place : kept_) sum += place.bytes();
  return sum;
}

template <class S>
void Optimizer<S>::drop_frozen(ParamArena<S>& grads) const {
  const std::vector<Segment>& segments = layout_.segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    if (groups_[group_of_[i]].trainable) continue;
    backend_->memory().zero(grads.at(segments[i]), segments[i].size);
  }
}

template <class S>
void Optimizer<S>::apply(int64_t update, double factor, double grad_norm, ParamArena<S>& params,
                         const ParamArena<S>& grads) {
  for (const Range& range : ranges_) {
    const Group& group = groups_[range.group];
    const auto slot = [&](int place) {
      return group.slot[place] == nullptr ? nullptr : places_[place].data() + range.begin;
    };
    OptimizerStep<S> step = group.step;
    step.n = range.end - range.begin;
    step.param = params.data() + range.begin;
    step.grad = grads.data() + range.begin;
    step.slot0 = slot(0);
    step.slot1 = slot(1);
    step.slot2 = slot(2);
    step.step = update;
    step.learning_rate = group.learning_rate * factor;
    step.grad_scale = clip_norm_ > 0 && grad_norm > clip_norm_ ? clip_norm_ / grad_norm : 1.0;
    backend_->update(step);
  }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace lookback
