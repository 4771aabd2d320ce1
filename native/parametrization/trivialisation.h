/// expRNN's orthogonal matrix (Lezcano-Casado, Martinez-Rubio 2019; Lezcano-Casado 2019):
///
///   W = base map(A),  A = triu(P, 1) - triu(P, 1)^T,  map = exp, or the Cayley transform
///
/// and its dynamic form, which now and then moves the base to W and P to 0.
///
/// From G = dL/dW: H = base^T G, X = L(A)^*[H], dP = triu(X - X^T, 1); by Cayley X = -V (cayley.h).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/spec.h"
#include "parametrization/cayley.h"
#include "parametrization/exponential.h"

namespace lookback {

struct TrivialisationOptions {
  int units = 0;
  bool cayley = false;        ///< map
  bool dynamic = false;       ///< whether `settle` ever moves the base
  int rebase_every = 0;       ///< settles from one rebase to the next; 0: only at the first
  int reproject_every = 100;  ///< rebases from one projection of the base to the next
  bool stale_gradient = false;
  bool reset_on_rebase = false;
};

/// From the options of the cell, for n units. ERR_OPTION.
TrivialisationOptions trivialisation_options(const Spec& spec, int n);

/// Reads P and base; gives W and tells A.
///
/// Buffers of the dynamic form: "rebase" counts settles left until the next rebase (-1: none will
/// come), rebases since the last projection, and whether the last settle was a rebase;
/// "rebaseFrom" holds the P from before it where `stale_gradient`: the published program takes the
/// first gradient after a rebase at the old coordinates with the new base.
class Trivialisation final : public Parametrization {
 public:
  Trivialisation(const TrivialisationOptions& options, std::vector<int> params)
      : options_(options), params_(std::move(params)) {}

  std::vector<int> params() const override { return params_; }
  std::vector<ParametrizationBuffer> buffers() const override;
  void build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
             const Multiply& multiply) override;
  void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
               const Multiply& multiply) override;
  /// None where a build differentiates at other coordinates than it maps.
  ProductForm product_form() const override;
  bool settles() const override { return options_.dynamic; }
  std::vector<int> settle(HostArrays& params, HostArrays& buffers, bool first,
                          const Multiply& multiply) override;

 private:
  const std::vector<double>& map(const std::vector<double>& A, const Multiply& multiply);

  TrivialisationOptions options_;
  std::vector<int> params_;
  OrthogonalityWatch watch_;
  // Of the last build, one of the two:
  CayleyTransform cayley_;
  SkewExponential exponential_;
  std::vector<double> skew_, H_;  ///< of the call at hand
};

/// The nearest orthogonal matrix, by Newton and Schulz. ERR_NUMERIC that begins with `owner` where
/// the matrix is not nearly orthogonal.
void project_orthogonal(const std::string& owner, int n, std::vector<double>& matrix,
                        const Multiply& multiply);

}  // namespace lookback
