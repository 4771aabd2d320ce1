#include "backend/derived.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/error.h"

namespace lookback {
namespace {

template <class T>
int64_t count_of(const std::vector<T>& shape) {
  int64_t count = 1;
  for (const T extent : shape) count *= extent;
  return count;
}

/// Numbers that carry derivatives (test/gradcheck) have their own forms of these two.
template <class S, class = std::enable_if_t<std::is_floating_point_v<S>>>
double plain(S number) {
  return static_cast<double>(number);
}
template <class S, class = std::enable_if_t<std::is_floating_point_v<S>>>
void carry_derivatives(Parametrization&, const std::vector<int>&, const std::vector<const S*>&,
                       const HostArrays&, const HostArrays&, const Multiply&,
                       std::vector<std::vector<S>>&) {}

}  // namespace

template <class S>
DerivedWeights<S>::DerivedWeights(const Declaration& d) : d_(d) {
  if (!d.parametrization) return;
  reads_ = d.parametrization->params();
  states_ = d.parametrization->buffers();
  for (ParametrizationBuffer& state : states_) state.name = "buf." + state.name;
  for (const DerivedInfo& info : d.derivations) {
    const auto count = static_cast<size_t>(count_of(info.shape));
    derived_.emplace_back(count);
    values_.emplace_back(count);
    gradients_.emplace_back(count);
  }
}

template <class S>
std::vector<BufferInfo> DerivedWeights<S>::buffers() const {
  std::vector<BufferInfo> list;
  for (const ParametrizationBuffer& state : states_) {
    list.push_back({state.name, {state.shape.begin(), state.shape.end()}, state.initial});
  }
  return list;
}

template <class S>
void DerivedWeights<S>::read(const std::vector<const S*>& params, HostArrays& to) const {
  to.resize(reads_.size());
  for (size_t k = 0; k < reads_.size(); ++k) {
    const S* from = params[static_cast<size_t>(reads_[k])];
    std::vector<double>& numbers = to[k];
    numbers.resize(from == nullptr ? 0 : static_cast<size_t>(count_of(d_.shape_of(reads_[k]))));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = plain(from[i]);
  }
}

template <class S>
void DerivedWeights<S>::read_buffers(const Tensors<const S>& tensors, HostArrays& to) const {
  to.resize(states_.size());
  for (size_t k = 0; k < states_.size(); ++k) {
    const ParametrizationBuffer& state = states_[k];
    std::vector<double>& numbers = to[k];
    numbers.assign(static_cast<size_t>(count_of(state.shape)), state.initial);
    const auto it = tensors.find(state.name);
    if (it != tensors.end()) {
      REQUIRE(it->second.size() == static_cast<int64_t>(numbers.size()), kShape, "tensor ",
              state.name, " holds ", it->second.size(), " numbers; expected ", numbers.size());
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = plain(it->second.data[i]);
    }
  }
}

template <class S>
void DerivedWeights<S>::require_finite(const HostArrays& params) const {
  for (size_t i = 0; i < params.size(); ++i) {
    const auto wrong = std::find_if_not(params[i].begin(), params[i].end(),
                                        [](double number) { return std::isfinite(number); });
    REQUIRE(wrong == params[i].end(), kNumeric, "parameter ",
            d_.params[static_cast<size_t>(reads_[i])].name, " holds ", *wrong, " at position ",
            wrong - params[i].begin(),
            "; its matrix cannot be built from that: restore a checkpoint, or lower the learning "
            "rate");
  }
}

template <class S>
void DerivedWeights<S>::build(const ForwardCall<S>& call, const Multiply& multiply,
                              HostShare share) {
  weights_ = call.params;
  if (!d_.parametrization) return;
  read(call.params, given_params_);
  read_buffers(call.inputs, given_buffers_);
  const bool same = built_ && share == share_;
  if (!same || given_params_ != params_ || given_buffers_ != buffers_in_) {
    require_finite(given_params_);
    built_ = false;  // a build that fails leaves nothing to be taken for its result
    buffers_out_ = given_buffers_;
    if (share == HostShare::kAll) {
      d_.parametrization->build(given_params_, buffers_out_, derived_, multiply);
    } else {
      d_.parametrization->build_rest(given_params_, buffers_out_, derived_, multiply);
    }
    share_ = share;
    params_.swap(given_params_);
    buffers_in_.swap(given_buffers_);
    built_ = true;
    for (size_t i = 0; i < derived_.size(); ++i) {
      std::transform(derived_[i].begin(), derived_[i].end(), values_[i].begin(),
                     [](double number) { return static_cast<S>(number); });
    }
  }
  carry_derivatives(*d_.parametrization, reads_, call.params, params_, buffers_in_, multiply,
                    values_);
  for (size_t i = 0; i < values_.size(); ++i) {
    weights_.push_back(values_[i].data());
    const auto wanted = call.outputs.find(d_.derivations[i].name);
    if (wanted != call.outputs.end())
      std::copy(values_[i].begin(), values_[i].end(), wanted->second.data);
  }
  const HostArrays& kept = call.training ? buffers_out_ : buffers_in_;
  for (size_t i = 0; i < states_.size(); ++i) {
    const auto wanted = call.outputs.find(states_[i].name);
    if (wanted == call.outputs.end()) continue;
    std::transform(kept[i].begin(), kept[i].end(), wanted->second.data,
                   [](double number) { return static_cast<S>(number); });
  }
}

template <class S>
const std::vector<S*>& DerivedWeights<S>::begin_gradients(const std::vector<S*>& d_params) {
  d_weights_ = d_params;
  for (std::vector<S>& gradient : gradients_) {
    std::fill(gradient.begin(), gradient.end(), S(0));
    d_weights_.push_back(gradient.data());
  }
  return d_weights_;
}

template <class S>
void DerivedWeights<S>::finish_gradients(const BackwardCall<S>& call, const Multiply& multiply) {
  if (!d_.parametrization) return;
  d_derived_.resize(gradients_.size());
  for (size_t i = 0; i < gradients_.size(); ++i) {
    std::vector<double>& numbers = d_derived_[i];
    numbers.resize(gradients_[i].size());
    std::transform(gradients_[i].begin(), gradients_[i].end(), numbers.begin(),
                   [](S number) { return plain(number); });
    const auto wanted = call.d_inputs.find(d_.derivations[i].name);
    if (wanted != call.d_inputs.end())
      std::copy(gradients_[i].begin(), gradients_[i].end(), wanted->second.data);
  }
  const bool wanted = std::any_of(reads_.begin(), reads_.end(), [&call](int param) {
    return call.d_params[static_cast<size_t>(param)] != nullptr;
  });
  if (!wanted) return;  // a frozen layer
  d_params_.resize(params_.size());
  for (size_t i = 0; i < params_.size(); ++i) d_params_[i].assign(params_[i].size(), 0.0);
  if (share_ == HostShare::kAll) {
    d_.parametrization->adjoint(params_, d_derived_, d_params_, multiply);
  } else {
    d_.parametrization->adjoint_rest(params_, d_derived_, d_params_, multiply);
  }
  for (size_t i = 0; i < reads_.size(); ++i) {
    S* const to = call.d_params[static_cast<size_t>(reads_[i])];
    for (size_t k = 0; to != nullptr && k < d_params_[i].size(); ++k)
      to[k] += static_cast<S>(d_params_[i][k]);
  }
}

template <class S>
std::vector<int> DerivedWeights<S>::settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                                           bool first, const Multiply& multiply) {
  if (!settles()) return {};
  HostArrays numbers, states;
  read({params.begin(), params.end()}, numbers);
  Tensors<const S> given;
  for (const auto& [name, tensor] : buffers) given[name] = {tensor.data, tensor.shape};
  read_buffers(given, states);
  require_finite(numbers);
  const HostArrays before = numbers;
  built_ = false;  // what the parametrization remembers of its last build it may write over here
  std::vector<int> afresh;
  for (const int position : d_.parametrization->settle(numbers, states, first, multiply))
    afresh.push_back(reads_[static_cast<size_t>(position)]);
  for (size_t i = 0; i < reads_.size(); ++i) {
    if (numbers[i] == before[i]) continue;
    std::transform(numbers[i].begin(), numbers[i].end(), params[static_cast<size_t>(reads_[i])],
                   [](double number) { return static_cast<S>(number); });
  }
  for (size_t i = 0; i < states_.size(); ++i) {
    const auto to = buffers.find(states_[i].name);
    if (to == buffers.end()) continue;
    std::transform(states[i].begin(), states[i].end(), to->second.data,
                   [](double number) { return static_cast<S>(number); });
  }
  return afresh;
}

template class DerivedWeights<float>;
template class DerivedWeights<double>;

}  // namespace lookback
