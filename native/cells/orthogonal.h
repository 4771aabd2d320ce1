/// What the cells with an orthogonal recurrent matrix share: the simple recurrence of elman.h on a
/// derived matrix, the options around it, and their starts.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/spec.h"
#include "cells/elman.h"
#include "parametrization/cayley.h"

namespace lookback {

constexpr double kPi = 3.14159265358979323846;

/// tan(t / 2) for t uniform in [0, pi / 2]: under the Cayley transform a rotation by t.
inline double half_angle_tangent(double uniform) {
  const double cosine = std::cos(uniform * kPi / 2);
  return std::sqrt((1 - cosine) / (1 + cosine));
}

/// blockdiag([0 s; -s 0], ...) with s = sign tan(t_j / 2), and a last zero row and column where n
/// is odd; packed: its strict upper triangle.
inline Start rotations_start(int n, bool packed, double sign) {
  Start start{Start::kCustom};
  start.fill = [=](const std::function<double(int64_t)>& uniform, double* A) {
    std::fill_n(A, packed ? packed_size(n) : int64_t{n} * n, 0.0);
    for (int j = 0; j + 1 < n; j += 2) {
      const double s = sign * half_angle_tangent(uniform(j / 2));
      A[packed ? packed_index(n, j, j + 1) : int64_t{j} * n + j + 1] = s;
      if (!packed) A[int64_t{j + 1} * n + j] = -s;
    }
  };
  return start;
}

/// Signs, the last `negatives` of them -1.
inline Start signs_start(int n, int negatives) {
  Start start{Start::kCustom};
  start.fill = [=](const std::function<double(int64_t)>&, double* d) {
    for (int i = 0; i < n; ++i) d[i] = i < n - negatives ? 1 : -1;
  };
  return start;
}

/// Of spec option `initSign`: +1 or -1 on the upper entries of the blocks; first is the default.
inline double init_sign(const Spec& spec, const std::string& first) {
  const std::string second = first == "negative" ? "positive" : "negative";
  return (spec.choice("initSign", {first, second}) == 0) == (first == "positive") ? 1 : -1;
}

/// Whether z = h W (side "right", the default) rather than z = h W^T.
inline bool right_side(const Spec& spec) { return spec.choice("side", {"right", "left"}) == 0; }

/// An Elman recurrence with the options `activation` and `bias`.
struct OrthogonalElman : Elman {
 protected:
  static ElmanActivation activation_of(const Spec& spec) {
    constexpr ElmanActivation kKinds[] = {ElmanActivation::kModRelu, ElmanActivation::kRelu,
                                          ElmanActivation::kTanh, ElmanActivation::kSigmoid,
                                          ElmanActivation::kIdentity};
    return kKinds[spec.choice("activation", {"modrelu", "relu", "tanh", "sigmoid", "identity"})];
  }

  /// Parameter b, inside modReLU or added to z. Without one modReLU is the identity.
  void declare_bias(Declaration& d, LinearInfo& info, bool wanted, Start start) {
    const int b = wanted ? d.param("b", {units}, std::move(start)) : -1;
    if (activation != ElmanActivation::kModRelu) {
      if (wanted) info.biases = {{b, 0, units, 0}};
      return;
    }
    bias = wanted ? d.vector(b, units) : d.constants(std::vector<double>(units, 0.0));
    d_bias = d.sum(bias);
  }
};

}  // namespace lookback
