/// Square matrices of doubles on a device: products, sums and norms, queued one behind the other.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "backend/cuda/device.h"
#include "base/arena.h"

namespace lookback {

using DeviceMatrix = Buffer<double>;

/// A factor of a product.
struct DeviceFactor {
  DeviceFactor(const DeviceMatrix& factor) : matrix(factor) {}
  DeviceFactor(const DeviceMatrix& factor, bool is_transposed)
      : matrix(factor), transposed(is_transposed) {}
  const DeviceMatrix& matrix;
  bool transposed = false;
};
inline DeviceFactor transposed(const DeviceMatrix& matrix) { return {matrix, true}; }

class DeviceAlgebra {
 public:
  /// Norms that can be waited for together.
  static constexpr int kNorms = 5;
  struct Term {
    double factor;
    const DeviceMatrix& matrix;
  };

  /// For matrices [n, n]; `device` outlives this.
  DeviceAlgebra(CudaDevice& device, int64_t n);

  int64_t n() const { return n_; }
  CudaDevice& device() { return device_; }
  DeviceMatrix matrix() { return DeviceMatrix(device_); }
  /// Room for a matrix where there is none yet.
  void ensure(DeviceMatrix& matrix) { matrix.ensure(n_ * n_, "a matrix of a recurrence"); }

  /// to = a b, or to += a b; `to` is neither of them. ERR_ABORTED where the job is cancelled.
  void multiply(const DeviceFactor& a, const DeviceFactor& b, DeviceMatrix& to, bool add = false);
  /// to = identity I + the terms, at most four; `to` may be one of them.
  void combine(double identity, std::initializer_list<Term> terms, DeviceMatrix& to);
  /// The square of the Frobenius norm, as number `place` of the next `read_norms`.
  void queue_norm(int place, const DeviceMatrix& matrix);
  /// Numbers [first, first + count), once they are there.
  std::vector<double> read_norms(int first, int count);

 private:
  CudaDevice& device_;
  int64_t n_;
  Buffer<double> sums_;  ///< [kNorms][kReduceBlocks]
};

}  // namespace lookback
