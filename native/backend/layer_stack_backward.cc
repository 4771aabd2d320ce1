/// The backward half of a stack of layers.
#include <vector>

#include "backend/layer_stack.h"
#include "backend/stack_tape.h"
#include "base/error.h"

namespace lookback {

template <class S>
void LayerStack<S>::backward(const BackwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<StackTape<S>&>(tape);
  REQUIRE(t.filled, kState, "backward needs the tape of a forward pass, once");
  t.filled = false;
  const int64_t numbers = t.batch * t.steps * units_;
  const auto dy = call.upstream.find("y"), dy_last = call.upstream.find("y_last");
  if (has_stream()) {
    if (dy != call.upstream.end()) {
      arrays_.copy(dy->second.data, numbers, t.stream.data());
      clear_ended(t, t.stream.data());
    } else {
      arrays_.zero(t.stream.data(), numbers);
    }
    for (int64_t b = 0; dy_last != call.upstream.end() && b < t.batch; ++b) {
      const int64_t to = t.last_step(b, units_);
      if (to >= 0) arrays_.add(units_, dy_last->second.data + b * units_, t.stream.data() + to);
    }
  }
  const auto dx = call.d_inputs.find("x");
  if (replays() && dx != call.d_inputs.end()) {
    const int64_t inputs = t.batch * t.steps * inputs_;
    if (stacking_ == Stacking::kReplayResidual) {
      arrays_.copy(t.stream.data(), inputs, dx->second.data);
    } else {
      arrays_.zero(dx->second.data, inputs);
    }
  }
  for (int pass = passes_ - 1; pass >= 0; --pass) run_pass_backward(call, t, pass);
}

template <class S>
void LayerStack<S>::run_pass_backward(const BackwardCall<S>& call, StackTape<S>& t, int pass) {
  const size_t p = static_cast<size_t>(pass);
  const int layer = replays() ? 0 : pass;
  Recurrence<S>& cell = *(t.masked ? masked_layers_ : layers_)[static_cast<size_t>(layer)];
  const int64_t numbers = t.batch * t.steps * units_;
  BackwardCall<S>& inner = t.backward[p];
  const auto first = static_cast<ptrdiff_t>(params_per_layer_) * layer;
  inner.params.assign(call.params.begin() + first,
                      call.params.begin() + first + static_cast<ptrdiff_t>(params_per_layer_));
  inner.d_params.assign(call.d_params.begin() + first,
                        call.d_params.begin() + first + static_cast<ptrdiff_t>(params_per_layer_));

  Refill<const S> upstream(inner.upstream);
  Refill<S> d_inputs(inner.d_inputs);
  const auto dy = call.upstream.find("y"), dx = call.d_inputs.find("x");
  if (!has_stream()) {
    const auto dy_last = call.upstream.find("y_last");
    if (dy != call.upstream.end()) upstream.put("y", dy->second.data, dy->second.shape);
    if (dy_last != call.upstream.end())
      upstream.put("y_last", dy_last->second.data, dy_last->second.shape);
    if (dx != call.d_inputs.end()) d_inputs.put("x", dx->second.data, dx->second.shape);
  } else {
    // A plain replay shows only its last pass.
    if (stacking_ != Stacking::kReplay || pass == passes_ - 1) {
      upstream.put("y", t.stream.data(), {t.batch, t.steps, units_});
    }
    if (pass > 0 || dx != call.d_inputs.end()) {
      d_inputs.put("x", t.part.data(),
                   {t.batch, t.steps, pass > 0 && !replays() ? units_ : inputs_});
    }
  }

  bind_state_gradients(call, t, pass, upstream, d_inputs);
  upstream.done();
  d_inputs.done();
  cell.backward(inner, *t.tapes[p]);

  if (!has_stream() || inner.d_inputs.count("x") == 0) return;
  const S* const from = t.part.data();
  S* const stream = t.stream.data();
  const int64_t inputs = t.batch * t.steps * inputs_;
  if (replays()) {
    if (dx != call.d_inputs.end()) arrays_.add(inputs, from, dx->second.data);
    return;
  }
  S* const to = pass == 0 ? dx->second.data : stream;
  const int64_t count = pass == 0 ? inputs : numbers;
  arrays_.copy(residual() ? stream : from, count, to);
  if (residual()) arrays_.add(count, from, to);
  if (pass > 0) clear_ended(t, stream);
}

/// What comes back to a pass from its final states, and goes on from its initial ones.
template <class S>
void LayerStack<S>::bind_state_gradients(const BackwardCall<S>& call, StackTape<S>& t, int pass,
                                         Refill<const S>& upstream, Refill<S>& d_inputs) {
  const size_t p = static_cast<size_t>(pass);
  const int layer = replays() ? 0 : pass;
  const int64_t state = t.batch * units_;
  const auto d_h = call.upstream.find("h_n"), d_queue = call.upstream.find("queue_n");
  if (replays()) {
    S* const sum_h = t.d_h[p].data();
    S* const sum_queue = t.d_queue[p].data();
    if (pass == passes_ - 1) {
      arrays_.zero(sum_h, state);
      arrays_.zero(sum_queue, window_ * state);
    }
    if (d_h != call.upstream.end()) arrays_.add(state, d_h->second.data + pass * state, sum_h);
    if (d_queue != call.upstream.end())
      arrays_.add(window_ * state, d_queue->second.data + pass * window_ * state, sum_queue);
    upstream.put("h_n", sum_h, {t.batch, units_});
    upstream.put("queue_n", sum_queue, {window_, t.batch, units_});
    if (pass > 0) {
      // The states this pass started from are the final ones of the pass before.
      S* const before = t.d_queue[p - 1].data();
      arrays_.zero(before, window_ * state);
      d_inputs.put("h0", t.d_h[p - 1].data(), {t.batch, units_});
      d_inputs.put("queue0", before + (window_ - t.given[p]) * state,
                   {t.given[p], t.batch, units_});
    }
  } else {
    if (d_h != call.upstream.end()) {
      upstream.put("h_n", d_h->second.data + pass * state, {t.batch, units_});
    }
    if (d_queue != call.upstream.end()) {
      upstream.put("queue_n", d_queue->second.data + pass * window_ * state,
                   {window_, t.batch, units_});
    }
  }
  if (!replays() || pass == 0) {
    const auto h0 = call.d_inputs.find("h0"), queue0 = call.d_inputs.find("queue0");
    if (h0 != call.d_inputs.end()) {
      d_inputs.put("h0", h0->second.data + layer * state, {t.batch, units_});
    }
    if (queue0 != call.d_inputs.end()) {
      d_inputs.put("queue0", queue0->second.data + layer * t.given[p] * state,
                   {t.given[p], t.batch, units_});
    }
  }
}

#define LOOKBACK_INSTANTIATE(S)                                                                 \
  template void LayerStack<S>::backward(const BackwardCall<S>&, Tape&);                         \
  template void LayerStack<S>::run_pass_backward(const BackwardCall<S>&, StackTape<S>&, int);   \
  template void LayerStack<S>::bind_state_gradients(const BackwardCall<S>&, StackTape<S>&, int, \
                                                    Refill<const S>&, Refill<S>&);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
