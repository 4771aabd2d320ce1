/// Orthogonal matrices from skew-symmetric ones on a device, by products alone, and their
/// gradients. Every result is a function of the numbers given and of nothing before them.
///
/// The norms of A, A^2 and A^4 bound A's 2-norm: a skew-symmetric matrix has every singular
/// value twice, so that the largest is at most (|A^k|^2 / 2)^(1 / 2k) of Frobenius' norm. That
/// bound decides how many products follow; where it is too large for them, the host has to do the
/// work.
#pragma once

#include <vector>

#include "backend/cuda/device_algebra.h"

namespace lookback {

class DeviceSkewMap {
 public:
  /// How many of the algebra's norms are its own: the first ones.
  static constexpr int kNorms = 4;

  /// `algebra` outlives this.
  explicit DeviceSkewMap(DeviceAlgebra& algebra)
      : algebra_(algebra), A_(algebra.matrix()), A2_(algebra.matrix()), A4_(algebra.matrix()) {}
  virtual ~DeviceSkewMap() = default;

  /// Where the caller writes A.
  DeviceMatrix& A() { return A_; }
  /// Waits for the bound and queues the map of A. False where the host has to do it: an entry is
  /// not a number, or A too large.
  bool begin();
  /// Once what `begin` queued is done: false where it did not converge.
  virtual bool finish() = 0;
  /// What `begin` queues: (I + A)^{-1}, or exp(A).
  virtual const DeviceMatrix& result() const = 0;
  /// Queues Y with scale() (Y^T - Y) = the gradient of the free entries of A, each of which stands
  /// twice in it, from the transpose of H = dL/dZ, where Z = 2 (I + A)^{-1} - I or exp(A). For the
  /// A of the last `begin`.
  virtual const DeviceMatrix& adjoint(const DeviceMatrix& H_transposed) = 0;
  virtual double scale() const = 0;

 protected:
  /// `bound`: A's 2-norm is at most that. False where that is too much.
  virtual bool queue(double bound) = 0;

  DeviceAlgebra& algebra_;
  DeviceMatrix A_, A2_, A4_;
};

/// X = (I + A)^{-1} by the iteration of Newton and Schulz, X := c X (2 I - (I + A) X), from
/// X = c (I - A). The residual R = I - (I + A) X is then a polynomial of A^2, symmetric, with its
/// eigenvalues between -r and r; c = 2 / (2 - r^2) brings those of the next one between -r' and r',
/// r' = r^2 / (2 - r^2), so that the number of steps is known beforehand. The last step has c = 1
/// and its residual is looked at.
class DeviceCayley final : public DeviceSkewMap {
 public:
  using DeviceSkewMap::DeviceSkewMap;
  bool finish() override;
  const DeviceMatrix& result() const override { return X_; }
  const DeviceMatrix& adjoint(const DeviceMatrix& H_transposed) override;
  double scale() const override { return 2; }

 private:
  bool queue(double bound) override;
  double first_steps(double bound);
  void step();

  DeviceMatrix X_{algebra_.matrix()}, next_{algebra_.matrix()}, product_{algebra_.matrix()},
      factor_{algebra_.matrix()}, V_{algebra_.matrix()};
};

/// exp(A) by its power series to degree 16 of A / 2^s, in fours (Paterson, Stockmeyer 1973), and s
/// squarings; its differential by those of the same sums and products.
class DeviceExponential final : public DeviceSkewMap {
 public:
  using DeviceSkewMap::DeviceSkewMap;
  bool finish() override { return true; }
  const DeviceMatrix& result() const override { return power_[static_cast<size_t>(squarings_)]; }
  const DeviceMatrix& adjoint(const DeviceMatrix& H_transposed) override;
  double scale() const override { return 1; }

 private:
  bool queue(double bound) override;
  double coefficient(int degree) const;
  void differential(const DeviceMatrix& a, const DeviceMatrix& d_b, const DeviceMatrix& d_a,
                    const DeviceMatrix& b, DeviceMatrix& to, bool add = false);

  int squarings_ = 0;
  DeviceMatrix A3_{algebra_.matrix()};
  std::vector<DeviceMatrix> inner_;  ///< the sums that A^4 multiplies, the innermost first
  std::vector<DeviceMatrix> power_;  ///< E, E^2, E^4, ...: s + 1 of them, or more from before
  /// Differentials of A^2, A^3, A^4 and of what is formed of them.
  DeviceMatrix D2_{algebra_.matrix()}, D3_{algebra_.matrix()}, D4_{algebra_.matrix()},
      dE_{algebra_.matrix()}, next_{algebra_.matrix()};
};

}  // namespace lookback
