/// A recurrence of a device behind host arrays: what a call takes is copied there, and what it
/// gives is copied back. So that every test of cells can run on any device.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"

namespace lookback {

template <class S>
class DeviceCell final : public Recurrence<S> {
 public:
  DeviceCell(MemorySpace& space, std::unique_ptr<Recurrence<S>> cell)
      : space_(space), cell_(std::move(cell)) {}

  const CellInfo& info() const override { return cell_->info(); }
  std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const override {
    return cell_->outputs(batch, steps);
  }
  std::vector<TensorInfo> derived() const override { return cell_->derived(); }
  std::vector<std::string> differentiable_inputs() const override {
    return cell_->differentiable_inputs();
  }
  std::string couples_rows(bool training) const override { return cell_->couples_rows(training); }
  std::vector<LoopPlan> explain(const PlanCall& call) const override {
    return cell_->explain(call);
  }
  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override {
    return cell_->make_tape(batch, steps, keep);
  }

  void forward(const ForwardCall<S>& call, Tape& tape) override {
    inputs_.clear();  // of the pass before; backward may still read those of this one
    Call made(*this);
    ForwardCall<S> inner = call;
    inner.inputs = made.take(call.inputs, inputs_);
    inner.params = params_on_device(call.params, inputs_);
    inner.outputs = made.give(call.outputs);
    cell_->forward(inner, tape);
    made.fetch();
  }
  void backward(const BackwardCall<S>& call, Tape& tape) override {
    Call made(*this);
    std::vector<Buffer<S>> own;
    BackwardCall<S> inner = call;
    inner.upstream = made.take(call.upstream, own);
    inner.params = params_on_device(call.params, own);
    inner.d_inputs = made.give(call.d_inputs);
    for (size_t p = 0; p < call.d_params.size(); ++p) {
      if (call.d_params[p] == nullptr) continue;
      const int64_t count = element_count(info().params[p].shape, "a parameter");
      inner.d_params[p] = made.give(call.d_params[p], count);
    }
    cell_->backward(inner, tape);
    made.fetch();
  }

 private:
  /// What goes back to the host after a call.
  class Call {
   public:
    explicit Call(DeviceCell& cell) : cell_(cell) {}
    Tensors<const S> take(const Tensors<const S>& tensors, std::vector<Buffer<S>>& own) {
      Tensors<const S> out;
      for (const auto& [name, tensor] : tensors)
        out[name] = {cell_.put(tensor.data, tensor.size(), own), tensor.shape};
      return out;
    }
    Tensors<S> give(const Tensors<S>& tensors) {
      Tensors<S> out;
      for (const auto& [name, tensor] : tensors)
        out[name] = {give(tensor.data, tensor.size()), tensor.shape};
      return out;
    }
    S* give(S* host, int64_t count) {
      results_.push_back({cell_.put(host, count, buffers_), host, count});
      return results_.back().device;
    }
    void fetch() {
      for (const Result& r : results_) cell_.space_.copy_out(r.device, r.count, r.host);
    }

   private:
    struct Result {
      S* device;
      S* host;
      int64_t count;
    };
    DeviceCell& cell_;
    std::vector<Buffer<S>> buffers_;
    std::vector<Result> results_;
  };

  S* put(const S* host, int64_t count, std::vector<Buffer<S>>& own) {
    own.emplace_back(count, "a tensor", space_);
    space_.copy_in(host, count, own.back().data());
    return own.back().data();
  }
  std::vector<const S*> params_on_device(const std::vector<const S*>& params,
                                         std::vector<Buffer<S>>& own) {
    std::vector<const S*> out;
    for (size_t p = 0; p < params.size(); ++p)
      out.push_back(put(params[p], element_count(info().params[p].shape, "a parameter"), own));
    return out;
  }

  MemorySpace& space_;
  std::unique_ptr<Recurrence<S>> cell_;
  std::vector<Buffer<S>> inputs_;
};

}  // namespace lookback
