/// Derived matrices on dual numbers. Builds run in double through factorisations, so a direction is
/// carried through them by differences of their results: four points, whose error of h^4 and
/// rounding of 1e-16 / h meet near 1e-12 of the result.
#pragma once

#include <vector>

#include "gradcheck/dual.h"
#include "parametrization/parametrization.h"

namespace lookback {

inline double plain(Dual number) { return number.v; }

inline void carry_derivatives(Parametrization& parametrization, const std::vector<int>& reads,
                              const std::vector<const Dual*>& params, const HostArrays& values,
                              const HostArrays& buffers, const Multiply& multiply,
                              std::vector<std::vector<Dual>>& derived) {
  constexpr double kStep = 1e-3;
  constexpr double kWeights[][2] = {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}};
  for (std::vector<Dual>& matrix : derived)
    for (Dual& entry : matrix) entry.d = 0;
  for (const auto& [at, weight] : kWeights) {
    HostArrays moved = values, states = buffers, result;
    for (const std::vector<Dual>& matrix : derived) result.emplace_back(matrix.size());
    for (size_t i = 0; i < moved.size(); ++i) {
      const Dual* param = params[static_cast<size_t>(reads[i])];
      for (size_t k = 0; k < moved[i].size(); ++k) moved[i][k] += at * kStep * param[k].d;
    }
    parametrization.build(moved, states, result, multiply);
    for (size_t i = 0; i < derived.size(); ++i)
      for (size_t k = 0; k < derived[i].size(); ++k)
        derived[i][k].d += weight * result[i][k] / (12 * kStep);
  }
}

}  // namespace lookback
