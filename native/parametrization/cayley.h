/// Skew-symmetric matrices and the orthogonal ones that the Cayley transform makes from them
/// (Helfrich, Willmott, Ye 2018). All matrices are row-major.
#pragma once

#include <string>
#include <vector>

#include "ops/lu.h"
#include "ops/skew.h"
#include "parametrization/parametrization.h"

namespace lookback {

/// How far from skew-symmetric a matrix may be, in units of its largest entry: far above the
/// rounding of float32 and of decimal files, far below any matrix that is not meant to be.
constexpr double kSkewTolerance = 1e-5;

/// A becomes the skew-symmetric matrix with this strict upper triangle.
void unpack_skew(int n, const std::vector<double>& packed, std::vector<double>& A);

/// skew becomes (A - A^T) / 2, which is A itself where that is skew-symmetric bit for bit. ERR_DATA
/// with the entries that differ most where they do so by more than what a float32 file loses;
/// `owner` begins the message.
void require_skew(const std::string& owner, int n, const std::vector<double>& A,
                  std::vector<double>& skew);

/// Z = (I + A)^{-1} (I - A) = 2 (I + A)^{-1} - I: orthogonal, without the eigenvalue -1. Matrices
/// of a known size ask for no memory.
class CayleyTransform {
 public:
  /// ERR_NUMERIC that begins with `owner` where numbers overflow; the matrix itself is never
  /// singular. Z is valid until the next build.
  const std::vector<double>& build(const std::string& owner, int n, const std::vector<double>& A,
                                   const Multiply& multiply);
  /// V = S H S / 2 with S = I + Z^T, from H = dL/dZ for the Z of the last build. The gradient of
  /// the free entries of A, each of which stands twice in it, is V^T - V. Valid until the next
  /// call.
  const std::vector<double>& adjoint(const std::vector<double>& H, const Multiply& multiply);

 private:
  int n_ = 0;
  BlockedLu lu_;
  std::vector<double> Z_, S_, SH_, V_;
};

/// to += scale (V^T - V), skew-symmetric bit for bit where `to` is. Packed: the upper triangle
/// alone.
void add_skew_gradient(int n, const std::vector<double>& V, double scale, bool packed,
                       std::vector<double>& to);

/// max |W^T W - I|; `product` becomes W^T W.
double orthogonality_error(int n, const std::vector<double>& W, std::vector<double>& product,
                           const Multiply& multiply);
double orthogonality_error(int n, const std::vector<double>& W, const Multiply& multiply);

/// Looks at every hundredth matrix that is built, the first one included.
class OrthogonalityWatch {
 public:
  /// To be asked once a build.
  bool due() { return builds_++ % kBuildsPerLook == 0; }
  /// ERR_NUMERIC where W is less than orthogonal to 1e-3; `owner` and `matrix` name it and `advice`
  /// ends the message.
  void look(const char* owner, const char* matrix, int n, const std::vector<double>& W,
            const char* advice, const Multiply& multiply);

 private:
  static constexpr int kBuildsPerLook = 100;
  int builds_ = 0;
  std::vector<double> product_;
};

}  // namespace lookback
