/// ENRNN's two blocks: W_L = Z(A) D, orthogonal (scaled_cayley.h), and W_S = T / (rho + eps), whose
/// spectral radius is at most 1.
///
/// From G_S = dL/dW_S, with s = rho + eps and where the normalisation is on:
///   dT = G_S / s - (<G_S, T> / s^2) d rho / d T
/// and dT = G_S where it is off.
#pragma once

#include <string>
#include <vector>

#include "parametrization/scaled_cayley.h"
#include "parametrization/spectral.h"

namespace lookback {

/// When W_S is divided. Sticky: from the first build on that sees rho > 1, for ever.
enum class NormMode { kSticky, kAlways, kThreshold, kOff };

struct EnrnnOptions {
  int long_units = 0, short_units = 0;
  bool packed = false;
  NormMode mode = NormMode::kSticky;
  double eps = 0;
  bool grad_through_norm = true;
  double min_cosine = 1e-4;
};

/// Reads A (or its upper triangle), d and T. Gives W_L, W_S, rho, lambda (real part and size of the
/// imaginary one) and d rho / d T.
///
/// Buffers: the sticky bit; the number of builds whose eigenvectors were nearly orthogonal, so that
/// the term of rho was left out; and the eigenpair of the last build with its bookkeeping, from
/// which the next one starts, so that a resumed run takes the same path.
class EnrnnWeights final : public Parametrization {
 public:
  EnrnnWeights(const EnrnnOptions& options, std::vector<int> params)
      : options_(options),
        params_(std::move(params)),
        W_L_("enrnn", "W_L", options.long_units, options.packed) {}

  std::vector<int> params() const override { return params_; }
  std::vector<ParametrizationBuffer> buffers() const override;
  void build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
             const Multiply& multiply) override;
  void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
               const Multiply& multiply) override;
  /// W_L; T and its eigenpair are the rest.
  ProductForm product_form() const override {
    return {ProductForm::Kind::kScaledCayley, options_.long_units, options_.packed, false, {2}};
  }
  void build_rest(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                  const Multiply& multiply) override;
  void adjoint_rest(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
                    const Multiply& multiply) override;

 private:
  void find_pair(const std::vector<double>& T, HostArrays& buffers, const Multiply& multiply);
  bool decide(double rho, double& sticky) const;

  EnrnnOptions options_;
  std::vector<int> params_;
  ScaledCayley W_L_;
  DominantSolver solver_;
  Dominant pair_;              ///< of the last build
  bool on_ = false;            ///< of the last build
  double scale_ = 1;           ///< rho + eps where on
  std::vector<double> d_rho_;  ///< d rho / d T; zeros where it was left out
};

}  // namespace lookback
