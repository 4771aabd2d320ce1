/// The update rules, one element at a time, in PyTorch's forms (torch.optim of the same names): a
/// run can be compared update by update.
#pragma once

#include "base/portable.h"
#include "math/scalar.h"
#include "ops/calls.h"

namespace lookback {

/// The numbers of one update, with everything that does not depend on the element already folded
/// in.
template <class S>
struct UpdateNumbers {
  S grad_scale = 1;  ///< from clipping by the global norm; applied before `clip_value`
  S clip_value = 0;  ///< largest absolute value of an entry; applied before `l2`
  S l2 = 0;          ///< coupled: g += l2 * p
  S shrink = 1;      ///< decoupled: p *= 1 - learning_rate * weight_decay, before the update
  S rate = 0;        ///< learning rate; for Adam divided by 1 - beta1^t
  S beta1 = 0, beta2 = 0, epsilon = 0;
  S root_correction = 1;  ///< 1 / sqrt(1 - beta2^t)
  S momentum = 0, rho = 0;
  /// 1 - beta1, 1 - beta2, 1 - rho of the numbers as given: near 1, of those rounded to S they are
  /// far off, or 0.
  S rest1 = 1, rest2 = 1, rest_rho = 1;
  bool nesterov = false;
  bool epsilon_inside = false;
};

template <class S>
HD S regularised(const UpdateNumbers<S>& n, S p, S g) {
  g = g * n.grad_scale;
  g = g > n.clip_value ? n.clip_value : g;
  g = g < -n.clip_value ? -n.clip_value : g;
  return g + n.l2 * p;
}

/// p -= rate * g.
template <class S>
HD void update_sgd(const UpdateNumbers<S>& n, S& p, S g) {
  g = regularised(n, p, g);
  p = n.shrink * p - n.rate * g;
}

/// v = momentum v + g;  p -= rate * v, or rate * (g + momentum v) with `nesterov`.
template <class S>
HD void update_momentum(const UpdateNumbers<S>& n, S& p, S g, S& v) {
  g = regularised(n, p, g);
  v = n.momentum * v + g;
  p = n.shrink * p - n.rate * (n.nesterov ? g + n.momentum * v : v);
}

/// What RMSprop divides by: sqrt(s) + epsilon, or sqrt(s + epsilon).
template <class S>
HD S rmsprop_root(const UpdateNumbers<S>& n, S s) {
  return n.epsilon_inside ? sqrt(s + n.epsilon) : sqrt(s) + n.epsilon;
}

/// s = rho s + (1 - rho) g^2;  p -= rate * g / root(s).
template <class S>
HD void update_rmsprop(const UpdateNumbers<S>& n, S& p, S g, S& s) {
  g = regularised(n, p, g);
  s = n.rho * s + n.rest_rho * g * g;
  p = n.shrink * p - n.rate * (g / rmsprop_root(n, s));
}

/// RMSprop whose step goes through a velocity: v = momentum v + g / root(s);  p -= rate * v.
template <class S>
HD void update_rmsprop_momentum(const UpdateNumbers<S>& n, S& p, S g, S& v, S& s) {
  g = regularised(n, p, g);
  s = n.rho * s + n.rest_rho * g * g;
  v = n.momentum * v + g / rmsprop_root(n, s);
  p = n.shrink * p - n.rate * v;
}

/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
/// p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
/// AdamW is the same rule with `shrink` in place of `l2`.
template <class S>
HD void update_adam(const UpdateNumbers<S>& n, S& p, S g, S& m, S& v) {
  g = regularised(n, p, g);
  m = n.beta1 * m + n.rest1 * g;
  v = n.beta2 * v + n.rest2 * g * g;
  p = n.shrink * p - n.rate * (m / (sqrt(v) * n.root_correction + n.epsilon));
}

/// Adam that divides by the largest second moment so far (AMSGrad): top = max(top, v) takes the
/// place of v.
template <class S>
HD void update_amsgrad(const UpdateNumbers<S>& n, S& p, S g, S& m, S& v, S& top) {
  g = regularised(n, p, g);
  m = n.beta1 * m + n.rest1 * g;
  v = n.beta2 * v + n.rest2 * g * g;
  top = v > top ? v : top;
  p = n.shrink * p - n.rate * (m / (sqrt(top) * n.root_correction + n.epsilon));
}

/// s = s + g^2;  p -= rate * g / (sqrt(s) + epsilon). TF1's form is epsilon = 0 with s above 0 at
/// the start.
template <class S>
HD void update_adagrad(const UpdateNumbers<S>& n, S& p, S g, S& s) {
  g = regularised(n, p, g);
  s = s + g * g;
  p = n.shrink * p - n.rate * (g / (sqrt(s) + n.epsilon));
}

/// s = rho s + (1 - rho) g^2;  d = sqrt(u + epsilon) / sqrt(s + epsilon) * g;
/// u = rho u + (1 - rho) d^2;  p -= rate * d.
template <class S>
HD void update_adadelta(const UpdateNumbers<S>& n, S& p, S g, S& s, S& u) {
  g = regularised(n, p, g);
  s = n.rho * s + n.rest_rho * g * g;
  const S d = sqrt(u + n.epsilon) / sqrt(s + n.epsilon) * g;
  u = n.rho * u + n.rest_rho * d * d;
  p = n.shrink * p - n.rate * d;
}

/// The rule of `kind` for one element. Slots that the kind does not have are null.
template <class S>
HD void update_element(OptimizerKind kind, const UpdateNumbers<S>& n, S& p, S g, S* s0, S* s1,
                       S* s2) {
  switch (kind) {
    case OptimizerKind::kSgd:
      if (s0 == nullptr) return update_sgd(n, p, g);
      return update_momentum(n, p, g, *s0);
    case OptimizerKind::kRmsprop:
      if (s0 == nullptr) return update_rmsprop(n, p, g, *s1);
      return update_rmsprop_momentum(n, p, g, *s0, *s1);
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      if (s2 == nullptr) return update_adam(n, p, g, *s0, *s1);
      return update_amsgrad(n, p, g, *s0, *s1, *s2);
    case OptimizerKind::kAdagrad:
      return update_adagrad(n, p, g, *s0);
    case OptimizerKind::kAdadelta:
      return update_adadelta(n, p, g, *s0, *s1);
  }
}

}  // namespace lookback
