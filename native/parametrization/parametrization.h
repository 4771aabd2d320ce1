/// Matrices of the time loop that are not parameters themselves but made from them once an update:
/// orthogonal matrices from skew-symmetric ones, a matrix divided by its spectral radius,
/// normalised attention weights. In double whatever the model's number type, on the host.
#pragma once

#include <string>
#include <vector>

#include "ops/multiply.h"

namespace lookback {

/// Row-major arrays, by position.
using HostArrays = std::vector<std::vector<double>>;

/// State beside the parameters that builds read and change; checkpoints hold it.
struct ParametrizationBuffer {
  std::string name;  ///< "normActive" for the buffer "buf.normActive"
  std::vector<int> shape;
  double initial = 0;
};

/// What a device can make of a parametrization by itself, from products alone: the first of its
/// derived matrices, from the first of its params.
struct ProductForm {
  enum class Kind {
    kNone,
    kScaledCayley,     ///< W from A and d (scaled_cayley.h)
    kUnitaryCayley,    ///< W_re, W_im from A_re, A_im and theta (complex_cayley.h)
    kBasedCayley,      ///< W and A from P and base (trivialisation.h)
    kBasedExponential  ///< likewise
  };
  Kind kind = Kind::kNone;
  int n = 0;
  bool packed = false;         ///< kScaledCayley: A is given as its strict upper triangle
  bool free_gradient = false;  ///< kUnitaryCayley
  std::vector<int> rest = {};  ///< positions of the params that `build_rest` reads

  /// How many derived matrices are the device's.
  size_t matrices() const { return kind == Kind::kNone ? 0 : kind == Kind::kScaledCayley ? 1 : 2; }
};

/// One cell's way from parameters to derived matrices (Declaration::derived), and back.
class Parametrization {
 public:
  virtual ~Parametrization() = default;

  /// Numbers of the parameters that it reads; all arrays named `params` below hold these, in this
  /// order.
  virtual std::vector<int> params() const = 0;
  virtual std::vector<ParametrizationBuffer> buffers() const { return {}; }

  /// Makes the derived matrices, sized already. Keeps what `adjoint` needs. May change buffers;
  /// outside of training the change is thrown away. Throws ERR_NUMERIC with the matrix and the
  /// condition where there is no result.
  virtual void build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                     const Multiply& multiply) = 0;
  /// Adds to the gradients of the parameters, from those of the derived matrices of the last
  /// `build`.
  virtual void adjoint(const HostArrays& params, const HostArrays& d_derived, HostArrays& d_params,
                       const Multiply& multiply) = 0;

  virtual ProductForm product_form() const { return {}; }
  /// `build` without what `product_form` describes. Params that it does not read may be empty.
  virtual void build_rest(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                          const Multiply& multiply) {
    static_cast<void>(params);
    static_cast<void>(buffers);
    static_cast<void>(derived);
    static_cast<void>(multiply);
  }
  /// `adjoint` likewise, after `build_rest`.
  virtual void adjoint_rest(const HostArrays& params, const HostArrays& d_derived,
                            HostArrays& d_params, const Multiply& multiply) {
    static_cast<void>(params);
    static_cast<void>(d_derived);
    static_cast<void>(d_params);
    static_cast<void>(multiply);
  }

  /// Whether `settle` ever does anything.
  virtual bool settles() const { return false; }
  /// After every update of the parameters and once before the `first`: may move parameters and
  /// buffers to another description of the same matrices (a new base, other signs). Gives the
  /// positions in `params` whose optimizer state no longer fits and starts afresh. A model that was
  /// trained before may come as the first again: its buffers tell.
  virtual std::vector<int> settle(HostArrays& params, HostArrays& buffers, bool first,
                                  const Multiply& multiply) {
    static_cast<void>(params);
    static_cast<void>(buffers);
    static_cast<void>(first);
    static_cast<void>(multiply);
    return {};
  }
};

}  // namespace lookback
