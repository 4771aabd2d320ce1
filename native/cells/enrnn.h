/// ENRNN (Helfrich, Ye 2019): a long-term block with an orthogonal matrix, and a
/// short-term block whose matrix has a spectral radius of at most 1, which feeds the long-term one.
///
///   state [h_L (longUnits) | h_S (shortUnits)]
///   z_L = x W_x^T (its part) + h_L W_L + h_S W_C       W_L = Z(A) diag(d), as scoRNN
///   z_S = x W_x^T (its part) + h_S W_S                 W_S = T / (rho(T) + eps), or T
///   h = modReLU(z; b)                                  or relu, tanh, sigmoid, identity of z + b
///
/// Side "left", the paper's: every matrix transposed, W_C [longUnits, shortUnits]. Nothing flows
/// from h_L to h_S: the products stand for themselves and no zero block is ever formed.
///
/// Backward: the recurrence's is elman.h's; the matrices' once an update, in
/// parametrization/enrnn_weights.h.
///
/// Deviations: the denominator's eps is 0 unless `normEps` is given, and the normalisation begins
/// when rho first exceeds 1 (`normMode`), both as in the authors' program. With an odd size the one
/// gain of T's start that stands alone belongs to the last column; `oddGain` "first" is theirs.
#pragma once

#include "cells/orthogonal.h"
#include "parametrization/enrnn_weights.h"

namespace lookback {

struct Enrnn : OrthogonalElman {
  static constexpr char kKey[] = "enrnn";
  static constexpr bool kLayered = false;
  static constexpr bool kUnitwise = true;
  using Loop = Elman;  ///< whose programs it has, without any of its own

  static bool accepts(const Spec&) { return true; }
  static Enrnn declare(const Spec& spec, Declaration& d);

 private:
  static EnrnnOptions options_of(const Spec& spec);
  static Start damped_rotations(int n, bool odd_first);
};

inline EnrnnOptions Enrnn::options_of(const Spec& spec) {
  EnrnnOptions options;
  options.long_units = spec.integer("longUnits", 0, 1, kMaxUnits);
  options.short_units = spec.integer("shortUnits", 0, 1, kMaxUnits);
  options.packed = spec.choice("storage", {"full", "packed"}) == 1;
  options.mode =
      static_cast<NormMode>(spec.choice("normMode", {"sticky", "always", "threshold", "off"}));
  options.eps = spec.number("normEps", 0);
  options.grad_through_norm = spec.flag("gradThroughNorm", true);
  options.min_cosine = spec.number("minCosine", 1e-4);
  REQUIRE(options.eps >= 0 && options.min_cosine >= 0, kOption, "normEps is ", options.eps,
          " and minCosine is ", options.min_cosine, "; expected 0 or more");
  return options;
}

/// Rotations by t_j uniform in [0, pi / 2], whose columns are scaled by gains g_j uniform in
/// [-1, 1), one a pair: eigenvalues g_j e^(+-i t_j).
inline Start Enrnn::damped_rotations(int n, bool odd_first) {
  Start start{Start::kCustom};
  start.fill = [=](const std::function<double(int64_t)>& uniform, double* T) {
    std::fill_n(T, int64_t{n} * n, 0.0);
    const auto gain = [&](int column) {
      const int number = odd_first && n % 2 == 1 ? (column + 1) / 2 : column / 2;
      return 2 * uniform(n / 2 + number) - 1;
    };
    for (int j = 0; j + 1 < n; j += 2) {
      const double s = half_angle_tangent(uniform(j / 2));
      const double cosine = (1 - s * s) / (1 + s * s), sine = 2 * s / (1 + s * s);
      double* upper = T + int64_t{j} * n + j;
      double* lower = upper + n;
      upper[0] = cosine * gain(j);
      upper[1] = -sine * gain(j + 1);
      lower[0] = sine * gain(j);
      lower[1] = cosine * gain(j + 1);
    }
    if (n % 2 == 1) T[int64_t{n} * n - 1] = gain(n - 1);
  };
  return start;
}

inline Enrnn Enrnn::declare(const Spec& spec, Declaration& d) {
  Enrnn cell;
  const EnrnnOptions options = options_of(spec);
  const int I = spec.integer("inputSize", 0, 1, kMaxUnits), L = options.long_units,
            S = options.short_units;
  const int negatives = spec.integer("negatives", L / 2, 0, L);
  const bool right = right_side(spec);
  REQUIRE(!options.packed || L > 1, kOption,
          "option storage is 'packed' with 1 long unit, which has no rotation");
  cell.activation = activation_of(spec);

  LinearInfo product = cell.declare_slots(d, I, L + S, spec), second = product;
  const Start rotations = rotations_start(L, options.packed, init_sign(spec, "positive"));
  const int A = options.packed ? d.param("A_packed", {static_cast<int>(packed_size(L))}, rotations)
                               : d.param("A", {L, L}, rotations);
  const int signs = d.fixed_param("d", {L}, signs_start(L, negatives));
  const int T =
      d.param("T", {S, S}, damped_rotations(S, spec.choice("oddGain", {"last", "first"}) == 1));
  const int W_x = d.param("W_x", {L + S, I}, {Start::kUniform, 0.01});
  cell.declare_bias(d, product, spec.flag("bias", true), {});
  const int W_L = d.derived("W_L", {L, L}), W_S = d.derived("W_S", {S, S});
  d.told("rho", {1});
  d.told("lambda", {2});
  d.told("drho_dT", {S, S});
  d.parametrization = std::make_shared<EnrnnWeights>(options, std::vector<int>{A, signs, T});

  product.rows = L;
  product.blocks = {{W_x, 0, 0, L, I, 0, 0}, {W_L, 0, 0, L, L, 0, 1, 0, right}};
  if (spec.flag("coupled", true)) {
    const Start start{Start::kUniform, std::sqrt(6.0 / (L + S))};
    const int W_C = right ? d.param("W_C", {S, L}, start) : d.param("W_C", {L, S}, start);
    product.blocks.push_back({W_C, 0, 0, L, S, 0, 1, L, right});
  } else {
    product.sources[1].units = L;
  }
  second.out_begin = second.d_out_begin = L;
  second.rows = S;
  second.sources[0].accumulate = true;
  second.sources[1].begin = L;
  second.sources[1].units = S;
  second.blocks = {{W_x, L, 0, S, I, 0, 0}, {W_S, 0, 0, S, S, 0, 1, 0, right}};
  if (!product.biases.empty()) {
    const int b = product.biases[0].param;
    product.biases = {{b, 0, L, 0}};
    second.biases = {{b, L, S, 0}};
  }
  cell.product = d.linear(std::move(product));
  cell.second = d.linear(std::move(second));
  declare_starts(spec, d);
  return cell;
}

}  // namespace lookback
