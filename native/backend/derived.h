/// The weights of a recurrence as the time loop sees them: its parameters, then the matrices that
/// its parametrization makes from them.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "cells/cell.h"

namespace lookback {

/// What the host makes of a parametrization: all of it, or what a device leaves to it
/// (ProductForm).
enum class HostShare { kAll, kRest };

template <class S>
class DerivedWeights {
 public:
  explicit DerivedWeights(const Declaration& d);

  /// The parametrization's state, as the recurrence's own buffers: "buf.normActive".
  std::vector<BufferInfo> buffers() const;
  /// Builds the derived matrices, unless parameters and buffers are still those of the last build.
  /// Writes buffers and derived matrices to `call.outputs` where they are wanted. ERR_NUMERIC for a
  /// parameter that is not finite, and where there is no result. Of the rest alone: parameters that
  /// it does not read may be null, and matrices that the device makes are left as they are.
  void build(const ForwardCall<S>& call, const Multiply& multiply,
             HostShare share = HostShare::kAll);
  /// All weights, in the order of Declaration::place_of; valid until the next build.
  const std::vector<const S*>& weights() const { return weights_; }

  /// Where the gradients of all weights are summed: `d_params`, then zeroed room for the derived
  /// ones.
  const std::vector<S*>& begin_gradients(const std::vector<S*>& d_params);
  /// Carries the gradients of the derived matrices on to `d_params`, and writes them to
  /// `call.d_inputs` where they are wanted. For the share that was built last.
  void finish_gradients(const BackwardCall<S>& call, const Multiply& multiply);

  bool settles() const { return d_.parametrization && d_.parametrization->settles(); }
  /// See Recurrence::settle.
  std::vector<int> settle(const std::vector<S*>& params, const Tensors<S>& buffers, bool first,
                          const Multiply& multiply);

 private:
  void read(const std::vector<const S*>& params, HostArrays& to) const;
  void read_buffers(const Tensors<const S>& tensors, HostArrays& to) const;
  void require_finite(const HostArrays& params) const;

  const Declaration& d_;
  std::vector<int> reads_;  ///< numbers of the parameters that the parametrization reads
  std::vector<ParametrizationBuffer> states_;               ///< "buf.normActive"
  HostArrays params_, buffers_in_, buffers_out_, derived_;  ///< of the last build
  bool built_ = false;                                      ///< whether these are of one
  HostShare share_ = HostShare::kAll;                       ///< of the last build
  /// Of the call at hand; here so that they keep their room.
  HostArrays given_params_, given_buffers_, d_derived_, d_params_;
  std::vector<std::vector<S>> values_, gradients_;  ///< per derived matrix
  std::vector<const S*> weights_;
  std::vector<S*> d_weights_;
};

}  // namespace lookback
