/// What the device computes, beside products, of the orthogonal matrices that cells make from
/// parameters once an update. Parameters, derived matrices and their gradients are S, everything in
/// between is double; all matrices are row-major. A unitary matrix is its real form [re -im; im re]
/// in between. Operations as in operations.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "backend/cuda/recurrent_operations.h"
#include "base/portable.h"
#include "ops/skew.h"

namespace lookback {

constexpr CudaOperation kCudaReadSkew = CudaOperation(kCudaRecurrent + 20);
constexpr CudaOperation kCudaCombine = CudaOperation(kCudaRecurrent + 21);
constexpr CudaOperation kCudaLoad = CudaOperation(kCudaRecurrent + 22);
constexpr CudaOperation kCudaStore = CudaOperation(kCudaRecurrent + 23);
constexpr CudaOperation kCudaWriteScaled = CudaOperation(kCudaRecurrent + 24);
constexpr CudaOperation kCudaWriteUnitary = CudaOperation(kCudaRecurrent + 25);
constexpr CudaOperation kCudaReadScaledGradient = CudaOperation(kCudaRecurrent + 26);
constexpr CudaOperation kCudaReadUnitaryGradient = CudaOperation(kCudaRecurrent + 27);
constexpr CudaOperation kCudaAddSkewGradient = CudaOperation(kCudaRecurrent + 28);
constexpr CudaOperation kCudaAddUnitaryGradient = CudaOperation(kCudaRecurrent + 29);
constexpr CudaOperation kCudaAddPhaseGradient = CudaOperation(kCudaRecurrent + 30);

/// How the parameters hold A.
enum class SkewStorage : int32_t {
  kFull,
  kPacked,    ///< its strict upper triangle, row by row
  kUpper,     ///< that of a square matrix whose other entries do not count
  kHermitian  ///< A_re, skew-symmetric, and A_im, symmetric
};

/// A from the parameters. An entry that only the host can judge is made no number at all, so that
/// no norm of A is one either: where A is not skew to the bit, d not made of signs, or one of the
/// `others` not finite.
template <class S>
struct ReadSkewOp {
  static constexpr CudaOperation kId = kCudaReadSkew;
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  SkewStorage storage;
  int32_t n;
  const S *A, *imaginary;
  const S* signs;   ///< d [n]; null: none
  const S* others;  ///< [n, others_row], others_row at most n; null: none
  int32_t others_row;
  double* to;  ///< [n, n], or of a Hermitian one [2n, 2n]

  HD int64_t side() const { return storage == SkewStorage::kHermitian ? 2 * int64_t{n} : n; }
  HD int64_t items() const { return side() * side(); }
  HD void operator()(int64_t at) const {
    const int64_t i = at / side(), j = at % side();
    to[at] = good(i, j) ? entry(i, j) : kNone;
  }

 private:
  HD bool good(int64_t i, int64_t j) const {
    if (signs != nullptr && i == j && signs[i] != S(1) && signs[i] != S(-1)) return false;
    if (others == nullptr || i >= n || j >= others_row) return true;
    const S other = others[i * others_row + j];
    return other - other == S(0);
  }
  HD double entry(int64_t i, int64_t j) const {
    switch (storage) {
      case SkewStorage::kPacked:
        if (i == j) return 0;
        return i < j ? double(A[packed_index(n, i, j)]) : -double(A[packed_index(n, j, i)]);
      case SkewStorage::kUpper:
        if (i == j) return 0;
        return i < j ? double(A[i * n + j]) : -double(A[j * n + i]);
      case SkewStorage::kFull:
        return paired(A, i, j, S(-1));
      default:
        if ((i < n) == (j < n)) return paired(A, i % n, j % n, S(-1));
        return i < n ? -paired(imaginary, i, j - n, S(1)) : paired(imaginary, i - n, j, S(1));
    }
  }
  HD double paired(const S* matrix, int64_t i, int64_t j, S sign) const {
    const S own = matrix[i * n + j];
    return own == sign * matrix[j * n + i] ? double(own) : kNone;
  }
};

/// to = identity I + factor[0] from[0] + factor[1] from[1] + ...; `to` may be one of them.
template <class S>
struct CombineOp {
  static constexpr CudaOperation kId = kCudaCombine;
  static constexpr int kMost = 4;
  int64_t n;
  S identity;
  const S* from[kMost];
  S factor[kMost];
  int32_t count;
  S* to;

  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    S sum = at / n == at % n ? identity : S(0);
    for (int k = 0; k < count; ++k) sum += factor[k] * from[k][at];
    to[at] = sum;
  }
};

template <class S>
struct LoadOp {
  static constexpr CudaOperation kId = kCudaLoad;
  int64_t count;
  const S* from;
  double* to;
  HD int64_t items() const { return count; }
  HD void operator()(int64_t i) const { to[i] = static_cast<double>(from[i]); }
};

template <class S>
struct StoreOp {
  static constexpr CudaOperation kId = kCudaStore;
  int64_t count;
  const double* from;
  S* to;
  HD int64_t items() const { return count; }
  HD void operator()(int64_t i) const { to[i] = static_cast<S>(from[i]); }
};

/// W = (2 X - I) diag(d).
template <class S>
struct WriteScaledOp {
  static constexpr CudaOperation kId = kCudaWriteScaled;
  int64_t n;
  const double* X;
  const S* d;
  S* W;
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const int64_t i = at / n, j = at % n;
    W[at] = static_cast<S>((2 * X[at] - (i == j ? 1 : 0)) * static_cast<double>(d[j]));
  }
};

/// The two parts of an entry of a complex matrix.
struct ComplexEntry {
  double re, im;
};

HD ComplexEntry times_phase(ComplexEntry z, double theta) {
  const double cosine = ::cos(theta), sine = ::sin(theta);
  return {z.re * cosine - z.im * sine, z.re * sine + z.im * cosine};
}

/// Entry (i, k) of W = (2 X - I) diag(e^(i theta)), from X [2n, 2n].
template <class S>
HD ComplexEntry unitary_entry(int64_t n, const double* X, const S* theta, int64_t i, int64_t k) {
  const double re = 2 * X[i * 2 * n + k] - (i == k ? 1 : 0), im = 2 * X[(n + i) * 2 * n + k];
  return times_phase({re, im}, static_cast<double>(theta[k]));
}

template <class S>
struct WriteUnitaryOp {
  static constexpr CudaOperation kId = kCudaWriteUnitary;
  int64_t n;
  const double* X;
  const S* theta;
  S *W_re, *W_im;
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const ComplexEntry w = unitary_entry(n, X, theta, at / n, at % n);
    W_re[at] = static_cast<S>(w.re);
    W_im[at] = static_cast<S>(w.im);
  }
};

/// to = (dW diag(d))^T.
template <class S>
struct ReadScaledGradientOp {
  static constexpr CudaOperation kId = kCudaReadScaledGradient;
  int64_t n;
  const S *dW, *d;
  double* to;
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const int64_t i = at / n, j = at % n;
    to[j * n + i] = static_cast<double>(dW[at]) * static_cast<double>(d[j]);
  }
};

/// With Om = (G_re - i G_im) / 2 and D = diag(e^(i theta)), the transposed real form of conj(Om D),
/// which is that of its conjugate transpose.
template <class S>
struct ReadUnitaryGradientOp {
  static constexpr CudaOperation kId = kCudaReadUnitaryGradient;
  int64_t n;
  const S *G_re, *G_im, *theta;
  double* to;
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const int64_t i = at / n, k = at % n;
    const ComplexEntry half = {static_cast<double>(G_re[at]) / 2,
                               -static_cast<double>(G_im[at]) / 2};
    const ComplexEntry entry = times_phase(half, static_cast<double>(theta[k]));
    to[k * 2 * n + i] = to[(n + k) * 2 * n + n + i] = entry.re;
    to[k * 2 * n + n + i] = -entry.im;
    to[(n + k) * 2 * n + i] = entry.im;
  }
};

/// to += scale (Y^T - Y).
template <class S>
struct AddSkewGradientOp {
  static constexpr CudaOperation kId = kCudaAddSkewGradient;
  SkewStorage storage;
  int64_t n;
  double scale;
  const double* Y;
  S* to;
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const int64_t i = at / n, j = at % n;
    if (i == j || (i > j && storage != SkewStorage::kFull)) return;
    const int64_t place = storage == SkewStorage::kPacked ? packed_index(n, i, j) : at;
    to[place] += static_cast<S>(scale * (Y[j * n + i] - Y[at]));
  }
};

/// dA += scale (C^T - conj(C)), of which the entries off the diagonal are halved or not, from the
/// real form [2n, 2n] of conj(C).
template <class S>
struct AddUnitaryGradientOp {
  static constexpr CudaOperation kId = kCudaAddUnitaryGradient;
  int64_t n;
  double scale;
  bool halved;
  const double* Y;
  S *dA_re, *dA_im;  ///< either may be null
  HD int64_t items() const { return n * n; }
  HD void operator()(int64_t at) const {
    const int64_t i = at / n, k = at % n, row = 2 * n;
    const double off_diagonal = halved ? scale / 2 : scale;
    if (dA_re != nullptr && i != k)
      dA_re[at] += static_cast<S>(off_diagonal * (Y[k * row + i] - Y[i * row + k]));
    if (dA_im == nullptr) return;
    const double own = -Y[(n + i) * row + k], other = -Y[(n + k) * row + i];
    dA_im[at] += static_cast<S>(i == k ? scale * own : off_diagonal * (other + own));
  }
};

/// dtheta_k += sum over j of G_im[j,k] W_re[j,k] - G_re[j,k] W_im[j,k], in order.
template <class S>
struct AddPhaseGradientOp {
  static constexpr CudaOperation kId = kCudaAddPhaseGradient;
  int64_t n;
  const double* X;
  const S *theta, *G_re, *G_im;
  S* d_theta;
  HD int64_t items() const { return n; }
  HD void operator()(int64_t k) const {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const ComplexEntry w = unitary_entry(n, X, theta, j, k);
      const int64_t at = j * n + k;
      sum += static_cast<double>(G_im[at]) * w.re - static_cast<double>(G_re[at]) * w.im;
    }
    d_theta[k] += static_cast<S>(sum);
  }
};

}  // namespace lookback
