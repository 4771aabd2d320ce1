/// The matrix exponential of a real skew-symmetric matrix, and the adjoint of its differential, by
/// the eigenvectors of -iA, which is Hermitian: exact and safe for repeated eigenvalues.
///
///   A = Q diag(i mu) Q^H     exp(A) = Q diag(e^(i mu)) Q^H
///   L(A)^*[H] = Re(Q (conj(F) o (Q^H H Q)) Q^H),  F_jk = e^(i (mu_j + mu_k) / 2) sinc((mu_j -
///   mu_k) / 2)
#pragma once

#include <string>
#include <vector>

#include "parametrization/parametrization.h"

namespace lookback {

class SkewExponential {
 public:
  /// exp(A). ERR_NUMERIC that begins with `owner` where the eigenvectors do not converge.
  std::vector<double> build(const std::string& owner, int n, const std::vector<double>& A,
                            const Multiply& multiply);
  /// L(A)^*[H] for the A of the last build.
  std::vector<double> adjoint(const std::vector<double>& H, const Multiply& multiply) const;

 private:
  int n_ = 0;
  bool zero_ = false;                          ///< A = 0: exp(A) = I and L(A)^* the identity
  std::vector<double> mu_, real_, imaginary_;  ///< Q, row-major
};

}  // namespace lookback
