/// The matrix exponential of a real skew-symmetric matrix, and the adjoint of its differential: the
/// Pade approximant of degree 13 of A / 2^s, squared s times (Higham 2005; Al-Mohy, Higham 2009 for
/// the differential).
///
///   E = (V - U)^{-1} (V + U) with U and V odd and even polynomials of A / 2^s    exp(A) = E^(2^s)
///   L(A)^*[H] = L(A^T)[H] = (L(A)[H^T])^T, since A is real
///
/// Sums and products alone, so repeated eigenvalues need no care. A is normal: its 2-norm, which
/// decides on s, is at most that root of a norm of A^2, A^4 or A^6 which is smallest.
#pragma once

#include <string>
#include <vector>

#include "ops/lu.h"
#include "parametrization/parametrization.h"

namespace lookback {

/// Matrices of a known size and number of squarings ask for no memory.
class SkewExponential {
 public:
  /// exp(A), valid until the next build. ERR_NUMERIC that begins with `owner` where A is so large
  /// that its rotations have no digits left.
  const std::vector<double>& build(const std::string& owner, int n, const std::vector<double>& A,
                                   const Multiply& multiply);
  /// L(A)^*[H] for the A of the last build, valid until the next call.
  const std::vector<double>& adjoint(const std::vector<double>& H, const Multiply& multiply);

 private:
  using Matrix = std::vector<double>;

  /// to = (to +) a b.
  void product(const Matrix& a, const Matrix& b, bool add, Matrix& to, const Multiply& multiply);
  int scale_powers(const std::string& owner);

  int n_ = 0, squarings_ = 0;
  bool zero_ = false;              ///< A = 0: exp(A) = I and L(A)^* the identity
  BlockedLu lu_;                   ///< of V - U
  Matrix A_, A2_, A4_, A6_;        ///< of A / 2^s
  Matrix inner_odd_, inner_even_;  ///< what A^6 multiplies in U / A and V
  Matrix odd_;                     ///< U / A
  std::vector<Matrix> power_;      ///< E, E^2, E^4, ...: s + 1 of them, or more from before
  Matrix D_, D2_, D4_, D6_;        ///< differentials of A, A^2, A^4, A^6
  Matrix d_inner_, d_odd_, dU_, dV_;
};

}  // namespace lookback
