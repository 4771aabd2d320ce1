/// From the options of an optimizer to the numbers of one update.
#pragma once

#include <cmath>

#include "ops/calls.h"
#include "ops/optimizer.h"

namespace lookback {

template <class S>
UpdateNumbers<S> fold_step(const OptimizerStep<S>& step) {
  const bool adam = step.kind == OptimizerKind::kAdam || step.kind == OptimizerKind::kAdamW;
  const double t = static_cast<double>(step.step);
  UpdateNumbers<S> n;
  n.grad_scale = static_cast<S>(step.grad_scale);
  n.l2 = static_cast<S>(step.l2);
  n.shrink = static_cast<S>(1.0 - step.learning_rate * step.weight_decay);
  n.rate = static_cast<S>(adam ? step.learning_rate / (1.0 - std::pow(step.beta1, t))
                               : step.learning_rate);
  n.beta1 = static_cast<S>(step.beta1);
  n.beta2 = static_cast<S>(step.beta2);
  n.rest1 = static_cast<S>(1.0 - step.beta1);
  n.rest2 = static_cast<S>(1.0 - step.beta2);
  n.epsilon = static_cast<S>(step.epsilon);
  n.root_correction = static_cast<S>(1.0 / std::sqrt(1.0 - std::pow(step.beta2, t)));
  n.momentum = static_cast<S>(step.momentum);
  n.rho = static_cast<S>(step.rho);
  n.rest_rho = static_cast<S>(1.0 - step.rho);
  n.nesterov = step.nesterov;
  n.epsilon_inside = step.epsilon_inside;
  n.clip_value = static_cast<S>(step.clip_value);
  return n;
}

}  // namespace lookback
