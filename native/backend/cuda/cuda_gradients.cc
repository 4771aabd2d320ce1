/// The backward half of a recurrence on a CUDA device, and the matrices that the host makes.
#include <algorithm>

#include "backend/cuda/cuda_recurrence.h"
#include "backend/tensors.h"
#include "base/error.h"

namespace lookback {
namespace {

/// Numbers of the device on the host.
template <class S>
std::vector<S> fetch(CudaDevice& device, const S* from, int64_t count) {
  std::vector<S> numbers(static_cast<size_t>(count));
  device.copy_out(from, count, numbers.data());
  return numbers;
}

int64_t numbers_of(const std::vector<int>& shape) {
  return element_count({shape.begin(), shape.end()}, "a parameter");
}

}  // namespace

/// What the host reads of a call, and where it writes; the copies keep their places when this
/// moves.
template <class S>
struct CudaRecurrence<S>::HostCopies {
  ForwardCall<S> call;
  std::vector<std::vector<S>> params;
  std::map<std::string, std::vector<S>> inputs, outputs;
};

/// Whether the host's share is made from a parameter.
template <class S>
bool CudaRecurrence<S>::reads(HostShare share, size_t param) const {
  const Parametrization& parametrization = *cell_.declaration.parametrization;
  const std::vector<int> all = parametrization.params();
  const auto is_it = [param](int number) { return number == static_cast<int>(param); };
  if (share == HostShare::kAll) return std::any_of(all.begin(), all.end(), is_it);
  const std::vector<int> rest = parametrization.product_form().rest;
  return std::any_of(rest.begin(), rest.end(),
                     [&](int position) { return is_it(all[static_cast<size_t>(position)]); });
}

template <class S>
auto CudaRecurrence<S>::copy_to_host(const ForwardCall<S>& call, HostShare share) -> HostCopies {
  const Declaration& d = cell_.declaration;
  HostCopies host;
  ForwardCall<S>& inner = host.call;
  inner.batch = call.batch;
  inner.steps = call.steps;
  inner.training = call.training;
  for (size_t p = 0; p < d.params.size(); ++p) {
    host.params.emplace_back();
    const bool read = reads(share, p);
    if (read) host.params[p] = fetch(device_, call.params[p], numbers_of(d.params[p].shape));
    inner.params.push_back(read ? host.params[p].data() : nullptr);
  }
  for (const BufferInfo& buffer : derived_.buffers()) {
    const auto in = call.inputs.find(buffer.name);
    if (in != call.inputs.end()) {
      std::vector<S>& numbers = host.inputs[buffer.name];
      numbers = fetch(device_, in->second.data, in->second.size());
      inner.inputs[buffer.name] = {numbers.data(), in->second.shape};
    }
    if (call.outputs.count(buffer.name) == 0) continue;
    std::vector<S>& numbers = host.outputs[buffer.name];
    numbers.resize(static_cast<size_t>(element_count(buffer.shape, "a buffer")));
    inner.outputs[buffer.name] = {numbers.data(), buffer.shape};
  }
  return host;
}

/// The host makes its share while the device makes its own, or all where the device cannot.
template <class S>
void CudaRecurrence<S>::build_derived(const ForwardCall<S>& call) {
  if (!cell_.declaration.parametrization) return;
  host_share_ = HostShare::kAll;
  if (own_weights_ != nullptr) {
    const HostCopies host = copy_to_host(call, HostShare::kRest);
    if (own_weights_->begin(call.params, derived_values_)) {
      derived_.build(host.call, on_host_, HostShare::kRest);
      if (own_weights_->finish()) {
        host_share_ = HostShare::kRest;
        return show_derived(call, host);
      }
    }
  }
  const HostCopies host = copy_to_host(call, HostShare::kAll);
  derived_.build(host.call, on_host_);
  show_derived(call, host);
}

/// Brings what the host has made to the device, and all of it to where the call wants it.
template <class S>
void CudaRecurrence<S>::show_derived(const ForwardCall<S>& call, const HostCopies& host) {
  const Declaration& d = cell_.declaration;
  const std::vector<const S*>& built = derived_.weights();
  for (size_t i = 0; i < derived_values_.size(); ++i) {
    Buffer<S>& to = derived_values_[i];
    if (i >= own_matrices()) device_.copy_in(built[d.params.size() + i], to.size(), to.data());
    S* const wanted = find_out(call.outputs, d.derivations[i].name);
    if (wanted != nullptr) device_.copy(to.data(), to.size(), wanted);
  }
  for (const auto& [name, numbers] : host.outputs)
    device_.copy_in(numbers.data(), static_cast<int64_t>(numbers.size()),
                    call.outputs.at(name).data);
}

/// Derived matrices that the device has made in the last build.
template <class S>
size_t CudaRecurrence<S>::own_matrices() const {
  if (host_share_ == HostShare::kAll) return 0;
  return cell_.declaration.parametrization->product_form().matrices();
}

template <class S>
std::vector<int> CudaRecurrence<S>::settle(const std::vector<S*>& params, const Tensors<S>& buffers,
                                           bool first) {
  const Declaration& d = cell_.declaration;
  if (!d.parametrization || !d.parametrization->settles()) return {};
  std::vector<std::vector<S>> host_params;
  std::vector<S*> inner_params;
  std::map<std::string, std::vector<S>> host_buffers;
  Tensors<S> inner_buffers;
  for (size_t p = 0; p < d.params.size(); ++p)
    host_params.push_back(fetch<S>(device_, params[p], numbers_of(d.params[p].shape)));
  for (std::vector<S>& numbers : host_params) inner_params.push_back(numbers.data());
  for (const auto& [name, tensor] : buffers) {
    host_buffers[name] = fetch<S>(device_, tensor.data, tensor.size());
    inner_buffers[name] = {host_buffers[name].data(), tensor.shape};
  }
  std::vector<int> afresh = derived_.settle(inner_params, inner_buffers, first, on_host_);
  for (size_t p = 0; p < d.params.size(); ++p) {
    device_.copy_in(host_params[p].data(), static_cast<int64_t>(host_params[p].size()), params[p]);
  }
  for (const auto& [name, tensor] : buffers)
    device_.copy_in(host_buffers[name].data(), tensor.size(), tensor.data);
  return afresh;
}

template <class S>
void CudaRecurrence<S>::backward(const BackwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<CudaTape<S>&>(tape);
  REQUIRE(t.filled, kState, "backward needs the tape of a forward pass, once");
  t.filled = false;
  SequenceArgs<S>& a = t.loop.args.walk;
  const Declaration& d = cell_.declaration;
  this->bind_upstream(call, a);
  S* const dx = a.dx;
  if (layout_.input_gradient_after()) a.dx = nullptr;
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (!a.state[i].shared) continue;
    t.d_initial[i].ensure(checked_mul(t.shape.batch, d.states[i].value.size, "states"), "states");
    t.d_initial[i].zero();
    a.state[i].d_initial = t.d_initial[i].data();
  }
  // A call of another shape in between may have packed them for the other driver.
  const bool resident = t.plan.driver == BlockDriver::kResident;
  if (quads_ != resident) {
    find_weights(call.params);
    pack(resident);
  }
  bind_products(t, true, dx != nullptr);
  stage(t, true);
  run_loop(t, true);
  std::vector<S*> d_weights = call.d_params;
  for (Buffer<S>& gradient : derived_gradients_) {
    gradient.zero();
    d_weights.push_back(gradient.data());
  }
  weight_gradients(t, d_weights);
  other_gradients(t, call, d_weights);
  derived_gradients(call, d_weights);
  if (dx != nullptr && layout_.input_gradient_after()) input_gradient(t, dx);
}

/// dx = sum of d_out W_x, in the place of x, which nobody needs any more.
template <class S>
void CudaRecurrence<S>::input_gradient(CudaTape<S>& t, S* dx) {
  const Declaration& d = cell_.declaration;
  bool first = true;
  for (size_t l = 0; l < d.linears.size(); ++l) {
    const LinearInfo& info = d.linears[l];
    for (size_t s = 0; s < info.sources.size(); ++s) {
      if (info.sources[s].gradient.id != d.dx.id) continue;
      const bool before = layout_.input_source(l) == static_cast<int>(s);
      REQUIRE(before, kInternal, "a product of x that is not made before the loop");
      Gemm<S> g;
      g.m = t.shape.steps * t.plan.padded;
      g.n = info_.input_size;
      g.k = info.rows;
      g.a = column(t, info.d_out.id, 0) + info.d_out_begin;
      g.a_row = t.plan.slots[static_cast<size_t>(info.d_out.id)].stride;
      g.b = weights_.at(layout_.input(l));
      g.b_row = g.n;
      g.beta = first ? S(0) : S(1);
      g.c = column(t, d.x.id, 0);
      g.c_row = t.plan.slots[static_cast<size_t>(d.x.id)].stride;
      g.any_order = true;
      backend_.gemm(g);
      first = false;
    }
  }
  move_input(t, column(t, d.x.id, 0), dx, true);
}

/// One product over all steps and rows for every source of every Linear.
template <class S>
void CudaRecurrence<S>::weight_gradients(CudaTape<S>& t, const std::vector<S*>& d_weights) {
  const Declaration& d = cell_.declaration;
  const auto stride = [&t](int slot) {
    return int64_t{t.plan.slots[static_cast<size_t>(slot)].stride};
  };
  for (size_t l = 0; l < d.linears.size(); ++l) {
    const LinearInfo& info = d.linears[l];
    const int64_t depth = layout_.depth(l), all = info.rows * depth;
    t.gradients.ensure(all + info.rows, "gradients");
    S* const dW = t.gradients.data();
    S* const db = dW + all;
    const int64_t first = info.from_initial ? -t.loop.args.walk.initial_entries : 0;
    const int64_t rows = (t.shape.steps - first) * t.plan.padded;
    for (int repeat = 0; repeat < info.repeat; ++repeat) {
      const S* const d_out =
          column(t, info.d_out.id, first) + info.d_out_begin + int64_t{repeat} * info.rows;
      int64_t k0 = 0;
      for (size_t s = 0; s < info.sources.size(); ++s) {
        const LinearSource& source = info.sources[s];
        Gemm<S> g;
        g.m = info.rows;
        g.n = layout_.source_size(l, s);
        g.k = rows;
        g.a = d_out;
        g.a_row = 1;
        g.a_col = stride(info.d_out.id);
        g.b = column(t, source.value.id, first + source.dt) + source.begin + repeat * g.n;
        g.b_row = stride(source.value.id);
        g.beta = repeat == 0 ? S(0) : S(1);
        g.c = dW + k0;
        g.c_row = depth;
        g.any_order = true;
        backend_.gemm(g);
        k0 += g.n;
      }
      if (!info.biases.empty())
        weights_.sum_columns(d_out, rows, stride(info.d_out.id), info.rows, db, repeat > 0);
    }
    weights_.scatter(l, dW, db, d_weights);
  }
}

/// Of vectors, and of parameters that every row starts from: sums over the rows.
template <class S>
void CudaRecurrence<S>::other_gradients(CudaTape<S>& t, const BackwardCall<S>& call,
                                        const std::vector<S*>& d_weights) {
  const Declaration& d = cell_.declaration;
  for (const SumInfo& sum : d.sums) {
    const BlockSlot& slot = t.plan.slots[static_cast<size_t>(sum.slot.id)];
    t.sums.ensure(slot.size, "sums over rows");
    weights_.sum_columns(column(t, sum.slot.id, 0), t.shape.batch, slot.stride, slot.size,
                         t.sums.data(), false);
    weights_.add_gradient(sum.vector, t.sums.data(), d_weights);
  }
  for (size_t i = 0; i < d.states.size(); ++i) {
    if (!t.loop.args.walk.state[i].shared) continue;
    S* const to = call.d_params[static_cast<size_t>(d.states[i].param)];
    const int64_t size = d.states[i].value.size;
    if (to != nullptr)
      weights_.sum_columns(t.d_initial[i].data(), t.shape.batch, size, size, to, true);
  }
}

template <class S>
void CudaRecurrence<S>::derived_gradients(const BackwardCall<S>& call,
                                          const std::vector<S*>& d_weights) {
  const Declaration& d = cell_.declaration;
  if (!d.parametrization) return;
  for (size_t i = 0; i < derived_gradients_.size(); ++i) {
    S* const wanted = find_out(call.d_inputs, d.derivations[i].name);
    if (wanted != nullptr)
      device_.copy(d_weights[d.params.size() + i], derived_gradients_[i].size(), wanted);
  }
  if (host_share_ == HostShare::kRest)
    own_weights_->adjoint(call.params, derived_gradients_, call.d_params);
  gradients_on_host(call);
}

/// Of the parameters that the host's share of the last build was made from.
template <class S>
void CudaRecurrence<S>::gradients_on_host(const BackwardCall<S>& call) {
  const Declaration& d = cell_.declaration;
  std::vector<std::vector<S>> sums(d.params.size());
  BackwardCall<S> inner;
  bool any = false;
  for (size_t p = 0; p < d.params.size(); ++p) {
    const bool wanted = call.d_params[p] != nullptr && reads(host_share_, p);
    if (wanted) sums[p].resize(static_cast<size_t>(numbers_of(d.params[p].shape)));
    inner.d_params.push_back(wanted ? sums[p].data() : nullptr);
    any = any || wanted;
  }
  if (!any) return;
  const std::vector<S*>& gradients = derived_.begin_gradients(inner.d_params);
  for (size_t i = own_matrices(); i < derived_gradients_.size(); ++i) {
    const Buffer<S>& from = derived_gradients_[i];
    device_.copy_out(from.data(), from.size(), gradients[d.params.size() + i]);
  }
  derived_.finish_gradients(inner, on_host_);
  for (size_t p = 0; p < d.params.size(); ++p) {
    if (std::all_of(sums[p].begin(), sums[p].end(), [](S number) { return number == S(0); }))
      continue;
    const auto count = static_cast<int64_t>(sums[p].size());
    host_gradients_.ensure(count, "gradients");
    device_.copy_in(sums[p].data(), count, host_gradients_.data());
    backend_.add(count, host_gradients_.data(), call.d_params[p]);
  }
}

#define LOOKBACK_INSTANTIATE(S)                                                                  \
  template void CudaRecurrence<S>::backward(const BackwardCall<S>&, Tape&);                      \
  template void CudaRecurrence<S>::build_derived(const ForwardCall<S>&);                         \
  template std::vector<int> CudaRecurrence<S>::settle(const std::vector<S*>&, const Tensors<S>&, \
                                                      bool);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
