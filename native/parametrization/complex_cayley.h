/// scuRNN's unitary matrix (Maduranga, Helfrich, Ye 2019): W = Z(A) diag(e^(i theta)) with
/// Z = (I + A)^{-1} (I - A) of a skew-Hermitian A, in real and imaginary parts. A complex system is
/// solved as a real one of twice the size, [re -im; im re] in the place of every number.
///
/// From G = dL/dW by its two real parts, Om = (G_re - i G_im) / 2 and D = diag(e^(i theta)):
///   C = S (Om D) S / 2 with S = I + Z^T          dA = C^T - conj(C)
///   dtheta_k = sum_j (G_im[j,k] W_re[j,k] - G_re[j,k] W_im[j,k])
///
/// This dA is the projection of the gradient on skew-Hermitian matrices; that for the independent
/// real numbers is twice it off the diagonal.
#pragma once

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
  ProductForm product_form() const override {
    return {ProductForm::Kind::kUnitaryCayley, n_, false, free_gradient_};
  }

 private:
  /// The two real parts of a complex matrix.
  struct Parts {
    std::vector<double> re, im;
    void resize(size_t size) {
      re.resize(size);
      im.resize(size);
    }
  };

  void product(const Parts& a, const Parts& b, Parts& to, const Multiply& multiply);
  void watch(const HostArrays& derived, const Multiply& multiply);

  int n_;
  bool free_gradient_;
  std::vector<int> params_;
  OrthogonalityWatch watch_;
  BlockedLu lu_;
  Parts Z_, W_;  ///< of the last build
  // Of the call at hand:
  std::vector<double> skew_, symmetric_, expanded_, solution_, minus_;
  Parts S_, OmD_, SOmD_, C_;
};

}  // namespace lookback
