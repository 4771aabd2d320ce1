/// W = Z D: the Cayley transform of a skew-symmetric matrix, columns scaled by signs that are
/// chosen before training, so that every orthogonal matrix can be reached (scoRNN; the long-term
/// block of ENRNN).
///
/// From G = dL/dW: dZ = G D and dA = V^T - V (cayley.h), for the W of the last build.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "parametrization/cayley.h"

namespace lookback {

/// The matrix on its own, as a part of parametrizations.
class ScaledCayley {
 public:
  /// `owner` ("scornn") and `matrix` ("W") stand in messages. `packed`: A is given as its strict
  /// upper triangle, row by row.
  ScaledCayley(std::string owner, std::string matrix, int n, bool packed)
      : owner_(std::move(owner)),
        matrix_(std::move(matrix)),
        title_(owner_ + ", matrix " + matrix_),
        skew_title_(owner_ + ": A"),
        n_(n),
        packed_(packed) {}

  /// ERR_DATA where A is not skew-symmetric or d not made of signs. ERR_NUMERIC where there is no
  /// inverse, and where one build in a hundred finds W less than orthogonal to 1e-3.
  void build(const std::vector<double>& A, const std::vector<double>& d, std::vector<double>& W,
             const Multiply& multiply);
  void adjoint(const std::vector<double>& d, const std::vector<double>& dW, std::vector<double>& dA,
               const Multiply& multiply);

 private:
  std::string owner_, matrix_, title_, skew_title_;
  int n_;
  bool packed_;
  CayleyTransform transform_;
  std::vector<double> skew_, H_;
  OrthogonalityWatch watch_;
};

/// The pairs of signs that `resign` has flipped, in order.
using Flips = std::vector<std::pair<int, int>>;

/// Moves A and d to another description of the same W in which no entry of A exceeds tau (at least
/// 1) in size: while one does, the largest is pivoted on and its two signs flip. Training stalls
/// where A is large, since then it must travel far for a small rotation. ERR_DATA where d is not
/// made of signs.
Flips resign(int n, double tau, std::vector<double>& A, std::vector<double>& d);

/// scoRNN's W from A (or its upper triangle) and d.
class ScornnWeights final : public Parametrization {
 public:
  /// `resign_above`: settles by `resign` with this tau; 0: never.
  ScornnWeights(int n, bool packed, double resign_above, std::vector<int> params)
      : n_(n),
        packed_(packed),
        resign_above_(resign_above),
        params_(std::move(params)),
        W_("scornn", "W", n, packed) {}

  std::vector<int> params() const override { return params_; }
  void build(const HostArrays& params, HostArrays&, HostArrays& derived,
             const Multiply& multiply) override {
    W_.build(params[0], params[1], derived[0], multiply);
  }
  void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
               const Multiply& multiply) override {
    W_.adjoint(params[1], d_derived[0], d_params[0], multiply);
  }
  ProductForm product_form() const override {
    return {ProductForm::Kind::kScaledCayley, n_, packed_};
  }
  bool settles() const override { return resign_above_ > 0; }
  std::vector<int> settle(HostArrays& params, HostArrays& buffers, bool first,
                          const Multiply& multiply) override;

 private:
  int n_;
  bool packed_;
  double resign_above_;
  std::vector<int> params_;
  ScaledCayley W_;
};

}  // namespace lookback
