/// The orthogonal matrices that a device makes of a cell's parameters by itself (ProductForm), and
/// the gradients of those parameters. The formulas are those of native/parametrization, which
/// remains the judge of everything unusual.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/matrix_operations.h"
#include "backend/cuda/skew_map.h"
#include "backend/derived.h"

namespace lookback {

template <class S>
class OrthogonalWeights {
 public:
  /// `reads`: numbers of the form's params among all of the cell. `device` outlives this.
  OrthogonalWeights(CudaDevice& device, const ProductForm& form, std::vector<int> reads);

  /// Queues the first of the derived matrices from the cell's parameters; in between it waits once.
  /// False where the host has to make them: a parameter is not what it has to be, or too large.
  bool begin(const std::vector<const S*>& params, std::vector<Buffer<S>>& derived);
  /// Waits for what `begin` has queued. False where it is no good and the host has to judge.
  bool finish();
  /// Adds to the gradients of the cell's parameters, where they are not null, from those of the
  /// derived matrices of the last `begin`. Nothing waits.
  void adjoint(const std::vector<const S*>& params, const std::vector<Buffer<S>>& d_derived,
               const std::vector<S*>& d_params);

 private:
  using Kind = ProductForm::Kind;

  template <class Op>
  void launch(const Op& op) {
    device_.launch<S>(Op::kId, op);
  }
  bool based() const {
    return form_.kind == Kind::kBasedCayley || form_.kind == Kind::kBasedExponential;
  }
  SkewStorage storage() const;
  const S* param(const std::vector<const S*>& params, size_t position) const {
    return params[static_cast<size_t>(reads_[position])];
  }
  void read(const std::vector<const S*>& params);
  void write_based(const std::vector<const S*>& params, std::vector<Buffer<S>>& derived);
  void load(const S* from, DeviceMatrix& to);

  CudaDevice& device_;
  ProductForm form_;
  std::vector<int> reads_;
  DeviceAlgebra algebra_;
  std::unique_ptr<DeviceSkewMap> map_;
  DeviceMatrix base_, Z_, W_;  ///< of a form with a base
  DeviceMatrix gradient_, H_;  ///< of the call at hand; H transposed
};

/// Null where the device makes nothing of a cell's parametrization; that may be null itself.
template <class S>
std::unique_ptr<OrthogonalWeights<S>> make_orthogonal_weights(
    CudaDevice& device, const Parametrization* parametrization);

}  // namespace lookback
