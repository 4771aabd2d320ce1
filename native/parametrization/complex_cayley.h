/// scuRNN's unitary matrix (Maduranga, Helfrich, Ye 2019): W = Z(A) diag(e^(i theta)) with
/// Z = (I + A)^{-1} (I - A) of a skew-Hermitian A, in real and imaginary parts.
///
/// From G = dL/dW by its two real parts, Om = (G_re - i G_im) / 2 and D = diag(e^(i theta)):
///   C = S (Om D) S / 2 with S = I + Z^T          dA = C^T - conj(C)
///   dtheta_k = sum_j (G_im[j,k] W_re[j,k] - G_re[j,k] W_im[j,k])
///
/// This dA is the projection of the gradient on skew-Hermitian matrices; that for the independent
/// real numbers is twice it off the diagonal.
#pragma once

#include <complex>
#include <utility>
#include <vector>

#include "parametrization/cayley.h"

namespace lookback {

/// Reads A_re, A_im and theta; gives W_re and W_im.
class ScurnnWeights final : public Parametrization {
 public:
  /// `free_gradient`: for the independent real numbers, instead of the projection.
  ScurnnWeights(int n, bool free_gradient, std::vector<int> params)
      : n_(n), free_gradient_(free_gradient), params_(std::move(params)) {}

  std::vector<int> params() const override { return params_; }
  /// ERR_DATA where A is not skew-Hermitian; ERR_NUMERIC where there is no inverse, and where one
  /// build in a hundred finds W less than unitary to 1e-3.
  void build(const HostArrays& params, HostArrays&, HostArrays& derived,
             const Multiply& multiply) override;
  void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
               const Multiply& multiply) override;

 private:
  void watch(const HostArrays& derived, const Multiply& multiply);

  int n_;
  bool free_gradient_;
  std::vector<int> params_;
  OrthogonalityWatch watch_;
  // Of the last build:
  std::vector<double> Z_re_, Z_im_, W_re_, W_im_;
};

}  // namespace lookback
