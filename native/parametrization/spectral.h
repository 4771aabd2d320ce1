/// The spectral radius of a real square matrix, and its derivative from left and right
/// eigenvectors.
///
///   T u = lambda u     v^H T = lambda v^H     rho = |lambda|, the largest
///   d rho / d T = Re(conj(lambda) conj(v) u^T / (v^H u)) / rho
///
/// which is defined while c = |v^H u| / (||v|| ||u||) is not 0: where two eigenvalues meet and have
/// one eigenvector between them, c vanishes and the derivative has a pole.
#pragma once

#include <complex>
#include <memory>
#include <string>
#include <vector>

#include "ops/multiply.h"

namespace lookback {

using Complex = std::complex<double>;

/// The dominant eigenvalue, the one with a positive imaginary part of a pair, and its eigenvectors
/// of length 1. Among distinct ones of equal modulus (to 1e-9): the largest imaginary part, then
/// the largest real part; each gives a one-sided derivative.
struct Dominant {
  Complex lambda;
  std::vector<Complex> u, v;
  double gap =
      1;  ///< 1 - |runner-up| / |lambda| of the last full solve, less with every step since
  double radius() const { return std::abs(lambda); }
  /// c of above.
  double cosine() const;
};

/// Finds dominant pairs. Its memory is that of the largest matrix so far.
class DominantSolver {
 public:
  DominantSolver();
  ~DominantSolver();

  /// All eigenvalues, by Hessenberg reduction and the QR iteration; then inverse iteration for one
  /// pair of vectors. ERR_NUMERIC that begins with `owner` where it does not converge.
  void solve(const std::string& owner, int n, const std::vector<double>& T, Dominant& pair,
             const Multiply& multiply);
  /// Two-sided Rayleigh quotient iteration from the pair of a matrix nearby. False where it does
  /// not converge in a few steps or has left the neighbourhood that the gap allows: then only the
  /// full solve can say which eigenvalue is dominant.
  bool follow(int n, const std::vector<double>& T, Dominant& pair, const Multiply& multiply);

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

/// d rho / d T, row-major, [n, n]. The caller has looked at the cosine.
void radius_gradient(const Dominant& pair, std::vector<double>& gradient);

}  // namespace lookback
