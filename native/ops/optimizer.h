/// The update rules, one element at a time, in PyTorch's forms (torch.optim of the same names): a
/// run can be compared update by update.
#pragma once

#include "base/portable.h"
#include "math/scalar.h"

namespace lookback {

/// The numbers of one update, with everything that does not depend on the element already folded
/// in.
template <class S>
struct UpdateNumbers {
  S grad_scale = 1;  ///< from clipping by the global norm; applied before `l2`
  S l2 = 0;          ///< coupled: g += l2 * p
  S shrink = 1;      ///< decoupled: p *= 1 - learning_rate * weight_decay, before the update
  S rate = 0;        ///< learning rate; for Adam divided by 1 - beta1^t
  S beta1 = 0, beta2 = 0, epsilon = 0;
  S root_correction = 1;  ///< 1 / sqrt(1 - beta2^t)
  S momentum = 0, rho = 0;
  bool nesterov = false;
};

template <class S>
HD S regularised(const UpdateNumbers<S>& n, S p, S g) {
  return g * n.grad_scale + n.l2 * p;
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

/// s = rho s + (1 - rho) g^2;  p -= rate * g / (sqrt(s) + epsilon).
template <class S>
HD void update_rmsprop(const UpdateNumbers<S>& n, S& p, S g, S& s) {
  g = regularised(n, p, g);
  s = n.rho * s + (S(1) - n.rho) * g * g;
  p = n.shrink * p - n.rate * (g / (sqrt(s) + n.epsilon));
}

/// RMSprop whose step goes through a velocity: v = momentum v + g / (sqrt(s) + epsilon);  p -= rate
/// * v.
template <class S>
HD void update_rmsprop_momentum(const UpdateNumbers<S>& n, S& p, S g, S& v, S& s) {
  g = regularised(n, p, g);
  s = n.rho * s + (S(1) - n.rho) * g * g;
  v = n.momentum * v + g / (sqrt(s) + n.epsilon);
  p = n.shrink * p - n.rate * v;
}

/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
/// p -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
/// AdamW is the same rule with `shrink` in place of `l2`.
template <class S>
HD void update_adam(const UpdateNumbers<S>& n, S& p, S g, S& m, S& v) {
  g = regularised(n, p, g);
  m = n.beta1 * m + (S(1) - n.beta1) * g;
  v = n.beta2 * v + (S(1) - n.beta2) * g * g;
  p = n.shrink * p - n.rate * (m / (sqrt(v) * n.root_correction + n.epsilon));
}

}  // namespace lookback
