#include "backend/layer_stack.h"

#include <algorithm>

#include "backend/stack_tape.h"
#include "base/error.h"
#include "cells/cell.h"

namespace lookback {
namespace {

/// Names are put together by hand: a stream without memory would cut them short and say nothing.
std::string layer_name(int layer) {
  std::string name(1, 'l');
  name += std::to_string(layer);
  name += '.';
  return name;
}

/// "buf.bn_k.mean" -> "buf.l0.bn_k.mean".
std::string buffer_name(const std::string& name, int layer) {
  return std::string(name).insert(4, layer_name(layer));
}

}  // namespace

template <class S>
LayerStack<S>::LayerStack(MakeLayer make_layer, const ArraySpace<S>& arrays, const std::string& key,
                          const Spec& spec)
    : make_layer_(std::move(make_layer)), arrays_(arrays), key_(key), spec_(spec) {
  passes_ = spec.integer("layers", 1, 1, 64);
  stacking_ = static_cast<Stacking>(
      spec.choice("stacking", {"stack", "residual", "replay", "replayResidual"}));
  weight_sets_ = replays() ? 1 : passes_;
  inputs_ = spec.integer("inputSize", 0, 1, kMaxUnits);
  units_ = spec.integer("units", 0, 1, kMaxUnits);
  window_ = spec.integer("window", 1, 1, kMaxUnits);
  REQUIRE(!residual() || inputs_ == units_, kOption,
          "residual stacking adds input and output: inputs ", inputs_, " must equal units ", units_,
          "; put a dense layer of ", units_, " units before, or use stacking 'stack'");
  layers_ = make_layers(spec);
  const CellInfo& first = layers_.front()->info();
  params_per_layer_ = first.params.size();
  info_.kind = key;
  info_.input_size = inputs_;
  info_.output_size = units_;
  for (int layer = 0; layer < weight_sets_; ++layer) {
    for (ParamInfo p : layers_[static_cast<size_t>(layer)]->info().params) {
      p.name = layer_name(layer) + p.name;
      info_.params.push_back(std::move(p));
    }
    for (BufferInfo b : layers_[static_cast<size_t>(layer)]->info().buffers) {
      b.name = buffer_name(b.name, layer);
      info_.buffers.push_back(std::move(b));
    }
  }
  name_tensors();
}

template <class S>
void LayerStack<S>::name_tensors() {
  for (int pass = 0; pass < passes_; ++pass) {
    const int layer = replays() ? 0 : pass;
    const std::string prefix = "mask." + layer_name(pass);
    PassNames names;
    names.positional_mask = prefix + "pos";
    for (const char* name :
         {"hidden", "attn", "pos", "input", "recurrent", "zoneout_h", "zoneout_c"}) {
      names.masks.push_back({prefix + name, std::string("mask.") + name});
    }
    for (const BufferInfo& b : layers_[static_cast<size_t>(layer)]->info().buffers)
      names.buffers.push_back({buffer_name(b.name, layer), b.name});
    names_.push_back(std::move(names));
  }
}

template <class S>
typename LayerStack<S>::Layers LayerStack<S>::make_layers(const Spec& spec) {
  Layers layers;
  for (int layer = 0; layer < weight_sets_; ++layer) {
    Spec one = spec;
    if (layer > 0) one.set("inputSize", static_cast<double>(units_));
    layers.push_back(make_layer_(one));
  }
  return layers;
}

template <class S>
std::vector<LoopPlan> LayerStack<S>::explain(const PlanCall& call) const {
  std::vector<LoopPlan> plans;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    plans.push_back(layers_[layer]->explain(call).front());
    if (layers_.size() > 1) plans.back().name = text("l", layer);
  }
  return plans;
}

template <class S>
std::vector<TensorInfo> LayerStack<S>::outputs(int64_t batch, int64_t steps) const {
  std::vector<TensorInfo> out = {{"y", {batch, steps, units_}},
                                 {"h_n", {passes_, batch, units_}},
                                 {"queue_n", {passes_, window_, batch, units_}},
                                 {"queue_count", {passes_, batch}, false}};
  for (const BufferInfo& b : info_.buffers) out.push_back({b.name, b.shape, false});
  return out;
}

template <class S>
std::vector<std::string> LayerStack<S>::differentiable_inputs() const {
  return {"x", "h0", "queue0"};
}

template <class S>
std::vector<TensorInfo> LayerStack<S>::saved(int64_t batch, int64_t steps) const {
  std::vector<TensorInfo> list;
  for (int pass = 0; pass < passes_; ++pass) {
    const size_t layer = replays() ? 0 : static_cast<size_t>(pass);
    for (TensorInfo info : layers_[layer]->saved(batch, steps)) {
      info.name = layer_name(pass) + info.name;
      list.push_back(std::move(info));
    }
  }
  return list;
}

template <class S>
void LayerStack<S>::read_saved(const Tape& tape, const Tensors<S>& to) const {
  const auto& t = static_cast<const StackTape<S>&>(tape);
  REQUIRE(t.filled, kState, "what a forward pass has saved can be read before backward");
  for (int pass = 0; pass < passes_; ++pass) {
    const size_t layer = replays() ? 0 : static_cast<size_t>(pass);
    const Recurrence<S>& cell = *(t.masked ? masked_layers_ : layers_)[layer];
    Tensors<S> own;
    for (const TensorInfo& info : cell.saved(t.batch, t.steps)) {
      const auto wanted = to.find(layer_name(pass) + info.name);
      if (wanted != to.end()) own[info.name] = wanted->second;
    }
    cell.read_saved(*t.tapes[static_cast<size_t>(pass)], own);
  }
}

template <class S>
std::string LayerStack<S>::couples_rows(bool training) const {
  if (replays()) return "the replay kinds of stacking: use 'stack' or 'residual'";
  return layers_.front()->couples_rows(training);
}

template <class S>
std::unique_ptr<Tape> LayerStack<S>::make_tape(int64_t batch, int64_t steps, bool keep) {
  auto t = std::make_unique<StackTape<S>>();
  t->batch = batch;
  t->steps = steps;
  t->keep = keep;
  const int64_t rows = checked_mul(checked_mul(batch, steps, "activations"), units_, "activations");
  const int64_t state = checked_mul(batch, units_, "states");
  if (has_stream()) {
    t->stream = arrays_.make(rows, "activations");
    const int64_t first = checked_mul(batch * steps, inputs_, "activations");
    t->part = arrays_.make(keep ? std::max(rows, first) : rows, "activations");
  }
  for (int pass = 0; replays() && pass < passes_; ++pass) {
    t->h.push_back(arrays_.make(state, "states"));
    t->queue.push_back(arrays_.make(checked_mul(state, window_, "states"), "states"));
    if (!keep) continue;
    t->d_h.push_back(arrays_.make(state, "states"));
    t->d_queue.push_back(arrays_.make(checked_mul(state, window_, "states"), "states"));
  }
  build_tapes(*t, false);
  return t;
}

template <class S>
void LayerStack<S>::build_tapes(StackTape<S>& t, bool masked) {
  if (masked && masked_layers_.empty()) {
    Spec spec = spec_;
    spec.set("positionalMask", true);
    masked_layers_ = make_layers(spec);
  }
  // Should one fail, there are none: a later call makes them all. Two sets at a time could be more
  // than the machine has.
  t.tapes.clear();
  t.forward.resize(static_cast<size_t>(passes_));
  t.backward.resize(static_cast<size_t>(passes_));
  std::vector<std::unique_ptr<Tape>> tapes;
  for (int pass = 0; pass < passes_; ++pass) {
    const size_t layer = replays() ? 0 : static_cast<size_t>(pass);
    tapes.push_back(
        (masked ? masked_layers_ : layers_)[layer]->make_tape(t.batch, t.steps, t.keep));
  }
  t.tapes = std::move(tapes);
  t.masked = masked;
}

template <class S>
void LayerStack<S>::require_call(const ForwardCall<S>& call) const {
  REQUIRE(!replays() || call.lengths == nullptr, kOption,
          "stacking 'replay' is not defined with lengths; use 'stack' or 'residual'");
  const auto check = [&](const char* name, std::initializer_list<int64_t> dims) {
    const auto it = call.inputs.find(name);
    if (it == call.inputs.end()) return;
    std::vector<int64_t> shape = dims;
    if (shape.size() == 4 && it->second.shape.size() == 4) {
      const int64_t given = it->second.shape[1];
      REQUIRE(given >= 1 && given <= window_, kShape, "input ", name, " holds ", given,
              " entries; expected 1 to ", window_);
      shape[1] = given;
    }
    REQUIRE(it->second.shape == shape, kShape, "input ", name, " has another shape than [",
            weight_sets_, shape.size() == 4 ? ",entries," : ",", call.batch, ",", units_, "]");
  };
  check("h0", {weight_sets_, call.batch, units_});
  check("queue0", {weight_sets_, window_, call.batch, units_});
}

template <class S>
void LayerStack<S>::forward(const ForwardCall<S>& call, Tape& tape) {
  auto& t = static_cast<StackTape<S>&>(tape);
  require_call(call);
  bool masked = false;
  for (const PassNames& names : names_)
    masked = masked || call.inputs.count(names.positional_mask) != 0;
  t.filled = false;
  if (masked != t.masked || t.tapes.empty()) build_tapes(t, masked);
  t.given.assign(static_cast<size_t>(passes_), 1);
  t.lengths.clear();
  if (call.lengths != nullptr) t.lengths.assign(call.lengths, call.lengths + call.batch);
  for (int pass = 0; pass < passes_; ++pass) run_pass(call, t, pass);
  write_states(call, t);
  t.filled = t.keep;
}

template <class S>
void LayerStack<S>::run_pass(const ForwardCall<S>& call, StackTape<S>& t, int pass) {
  const size_t p = static_cast<size_t>(pass);
  const int layer = replays() ? 0 : pass;
  Recurrence<S>& cell = *(t.masked ? masked_layers_ : layers_)[static_cast<size_t>(layer)];
  ForwardCall<S>& inner = t.forward[p];
  inner.batch = call.batch;
  inner.steps = call.steps;
  inner.training = call.training;
  inner.lengths = call.lengths;
  inner.origins = call.origins;
  inner.version = call.version;
  inner.dropout = nullptr;
  DropoutKey key;
  if (call.dropout != nullptr) {
    // Every pass draws its own masks.
    key = *call.dropout;
    key.layer += static_cast<uint32_t>(pass) << 16;
    inner.dropout = &key;
  }
  const auto first = call.params.begin() + static_cast<ptrdiff_t>(params_per_layer_) * layer;
  inner.params.assign(first, first + static_cast<ptrdiff_t>(params_per_layer_));
  bind_tensors(call, t, pass);
  cell.forward(inner, *t.tapes[p]);
  if (has_stream()) join_stream(call, t, pass);
}

template <class S>
void LayerStack<S>::bind_tensors(const ForwardCall<S>& call, StackTape<S>& t, int pass) {
  const size_t p = static_cast<size_t>(pass);
  Refill<const S> inputs(t.forward[p].inputs);
  Refill<S> outputs(t.forward[p].outputs);
  if (pass > 0 && !replays()) {
    inputs.put("x", t.stream.data(), {t.batch, t.steps, units_});
  } else {
    const Tensor<const S>& x = call.inputs.at("x");
    inputs.put("x", x.data, x.shape);
  }
  const auto y = call.outputs.find("y"), y_last = call.outputs.find("y_last");
  S* const y_data = y == call.outputs.end() ? nullptr : y->second.data;
  S* const to = has_stream() ? t.part.data() : y_data;
  if (to != nullptr) outputs.put("y", to, {t.batch, t.steps, units_});
  if (!has_stream() && y_last != call.outputs.end())
    outputs.put("y_last", y_last->second.data, y_last->second.shape);
  for (const Names& name : names_[p].masks) {
    const auto it = call.inputs.find(name.outer);
    if (it == call.inputs.end()) continue;
    Tensor<const S>& mask = inputs.put(name.inner, it->second.data, it->second.shape);
    // [B,T,heads,k] and [B,T,k,H+P] are rows of numbers to the driver.
    while (mask.shape.size() > 3) {
      mask.shape[2] *= mask.shape.back();
      mask.shape.pop_back();
    }
  }
  for (const Names& name : names_[p].buffers) {
    const auto in = call.inputs.find(name.outer);
    const auto out = call.outputs.find(name.outer);
    // A later pass of a replay goes on from what the earlier one left.
    if (replays() && pass > 0 && out != call.outputs.end() && call.training) {
      inputs.put(name.inner, out->second.data, out->second.shape);
    } else if (in != call.inputs.end()) {
      inputs.put(name.inner, in->second.data, in->second.shape);
    }
    if (out != call.outputs.end()) outputs.put(name.inner, out->second.data, out->second.shape);
  }
  bind_states(call, t, pass, inputs, outputs);
  inputs.done();
  outputs.done();
}

template <class S>
void LayerStack<S>::bind_states(const ForwardCall<S>& call, StackTape<S>& t, int pass,
                                Refill<const S>& inputs, Refill<S>& outputs) {
  const size_t p = static_cast<size_t>(pass);
  const int64_t state = t.batch * units_;
  const int set = replays() ? 0 : pass;
  const auto h0 = call.inputs.find("h0"), queue0 = call.inputs.find("queue0");
  if (replays() && pass > 0) {
    const int count = static_cast<int>(std::min<int64_t>(t.given[p - 1] + t.steps, window_));
    inputs.put("h0", t.h[p - 1].data(), {t.batch, units_});
    inputs.put("queue0", t.queue[p - 1].data() + (window_ - count) * state,
               {count, t.batch, units_});
    t.given[p] = count;
  } else {
    if (h0 != call.inputs.end()) {
      inputs.put("h0", h0->second.data + set * state, {t.batch, units_});
    }
    if (queue0 != call.inputs.end()) {
      t.given[p] = static_cast<int>(queue0->second.shape[1]);
      inputs.put("queue0", queue0->second.data + set * t.given[p] * state,
                 {t.given[p], t.batch, units_});
    }
  }
  const auto h_n = call.outputs.find("h_n"), queue_n = call.outputs.find("queue_n");
  if (replays()) {
    outputs.put("h_n", t.h[p].data(), {t.batch, units_});
    outputs.put("queue_n", t.queue[p].data(), {window_, t.batch, units_});
  } else {
    if (h_n != call.outputs.end()) {
      outputs.put("h_n", h_n->second.data + pass * state, {t.batch, units_});
    }
    if (queue_n != call.outputs.end()) {
      outputs.put("queue_n", queue_n->second.data + pass * window_ * state,
                  {window_, t.batch, units_});
    }
  }
}

template <class S>
void LayerStack<S>::write_states(const ForwardCall<S>& call, const StackTape<S>& t) {
  const int64_t state = t.batch * units_;
  const auto h_n = call.outputs.find("h_n"), queue_n = call.outputs.find("queue_n");
  for (int pass = 0; replays() && pass < passes_; ++pass) {
    const size_t p = static_cast<size_t>(pass);
    if (h_n != call.outputs.end())
      arrays_.copy(t.h[p].data(), state, h_n->second.data + pass * state);
    if (queue_n != call.outputs.end()) {
      arrays_.copy(t.queue[p].data(), window_ * state,
                   queue_n->second.data + pass * window_ * state);
    }
  }
  const auto count = call.outputs.find("queue_count");
  if (count == call.outputs.end()) return;
  std::vector<S> counts;
  for (int pass = 0; pass < passes_; ++pass) {
    for (int64_t b = 0; b < t.batch; ++b) {
      const int64_t steps = t.lengths.empty() ? t.steps : t.lengths[static_cast<size_t>(b)];
      const int64_t pushed = t.given[static_cast<size_t>(pass)] + steps;
      counts.push_back(static_cast<S>(std::min<int64_t>(pushed, window_)));
    }
  }
  arrays_.put(counts.data(), static_cast<int64_t>(counts.size()), count->second.data);
}

template <class S>
void LayerStack<S>::clear_ended(const StackTape<S>& t, S* stream) const {
  for (size_t b = 0; b < t.lengths.size(); ++b) {
    S* const row = stream + static_cast<int64_t>(b) * t.steps * units_;
    arrays_.zero(row + int64_t{t.lengths[b]} * units_, (t.steps - t.lengths[b]) * units_);
  }
}

/// After a layer: the stream for the next one, and y after the last.
template <class S>
void LayerStack<S>::join_stream(const ForwardCall<S>& call, StackTape<S>& t, int pass) {
  const int64_t numbers = t.batch * t.steps * units_;
  S* const stream = t.stream.data();
  if (residual()) {
    if (pass == 0) arrays_.copy(call.inputs.at("x").data, numbers, stream);
    arrays_.add(numbers, t.part.data(), stream);
    clear_ended(t, stream);
  } else {
    arrays_.copy(t.part.data(), numbers, stream);
  }
  if (pass < passes_ - 1) return;
  const auto y = call.outputs.find("y"), y_last = call.outputs.find("y_last");
  if (y != call.outputs.end()) arrays_.copy(stream, numbers, y->second.data);
  if (y_last == call.outputs.end()) return;
  S* const to = y_last->second.data;
  if (t.lengths.empty()) {
    const int64_t row = t.steps * units_;
    return arrays_.copy_rows(t.batch, units_, stream + row - units_, row, to, units_);
  }
  for (int64_t b = 0; b < t.batch; ++b) {
    const int64_t from = t.last_step(b, units_);
    if (from < 0) {
      arrays_.zero(to + b * units_, units_);
    } else {
      arrays_.copy(stream + from, units_, to + b * units_);
    }
  }
}

template class LayerStack<float>;
template class LayerStack<double>;

}  // namespace lookback
