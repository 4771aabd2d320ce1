/// A recurrence that computes in the host's memory, for a device whose memory is not the host's:
/// everything a call names is copied in before it and out after it.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"

namespace lookback {

template <class S>
class StagedRecurrence final : public Recurrence<S> {
 public:
  /// `memory` outlives this.
  StagedRecurrence(std::unique_ptr<Recurrence<S>> host, MemorySpace& memory)
      : host_(std::move(host)), memory_(memory) {}

  const CellInfo& info() const override { return host_->info(); }
  std::vector<TensorInfo> outputs(int64_t batch, int64_t steps) const override {
    return host_->outputs(batch, steps);
  }
  std::vector<TensorInfo> derived() const override { return host_->derived(); }
  std::vector<std::string> differentiable_inputs() const override {
    return host_->differentiable_inputs();
  }
  std::string couples_rows(bool training) const override { return host_->couples_rows(training); }
  std::unique_ptr<Tape> make_tape(int64_t batch, int64_t steps, bool keep) override {
    return std::make_unique<StagedTape>(host_->make_tape(batch, steps, keep));
  }

  void forward(const ForwardCall<S>& call, Tape& tape) override {
    auto& staged = static_cast<StagedTape&>(tape);
    // The tape may read what the pass was given until its backward pass.
    Staging& here = staged.kept = Staging(memory_);
    ForwardCall<S> own = call;
    own.version = 0;  // every call has copies of its own, wherever they lie
    for (auto& [name, tensor] : own.inputs) tensor.data = here.in(tensor.data, tensor.size());
    own.params = params(call.params, here);
    for (auto& [name, tensor] : own.outputs) tensor.data = here.out(tensor.data, tensor.size());
    host_->forward(own, *staged.tape);
    here.bring_back();
  }

  void backward(const BackwardCall<S>& call, Tape& tape) override {
    auto& staged = static_cast<StagedTape&>(tape);
    Staging here(memory_);
    BackwardCall<S> own = call;
    for (auto& [name, tensor] : own.upstream) tensor.data = here.in(tensor.data, tensor.size());
    own.params = params(call.params, here);
    for (size_t i = 0; i < own.d_params.size(); ++i)
      own.d_params[i] = here.out(own.d_params[i], size_of(i));
    for (auto& [name, tensor] : own.d_inputs) tensor.data = here.out(tensor.data, tensor.size());
    host_->backward(own, *staged.tape);
    here.bring_back();
  }

  std::vector<int> settle(const std::vector<S*>& given, const Tensors<S>& buffers,
                          bool first) override {
    Staging here(memory_);
    std::vector<S*> own = given;
    for (size_t i = 0; i < own.size(); ++i) own[i] = here.out(own[i], size_of(i));
    Tensors<S> own_buffers = buffers;
    for (auto& [name, tensor] : own_buffers) tensor.data = here.out(tensor.data, tensor.size());
    std::vector<int> afresh = host_->settle(own, own_buffers, first);
    here.bring_back();
    return afresh;
  }

 private:
  /// The host's copies of one call's arrays.
  class Staging {
   public:
    Staging() = default;
    explicit Staging(MemorySpace& memory) : memory_(&memory) {}

    S* in(const S* from, int64_t size) {
      if (from == nullptr) return nullptr;
      copies_.push_back({Buffer<S>::for_overwrite(size, "a copy for the host"), nullptr});
      memory_->copy_out(from, size, copies_.back().numbers.data());
      return copies_.back().numbers.data();
    }
    /// Comes in too: the call may add to it, or leave it.
    S* out(S* to, int64_t size) {
      S* const copy = in(to, size);
      if (copy != nullptr) copies_.back().to = to;
      return copy;
    }
    void bring_back() {
      for (const Copy& copy : copies_) {
        if (copy.to != nullptr) memory_->copy_in(copy.numbers.data(), copy.numbers.size(), copy.to);
      }
    }

   private:
    struct Copy {
      Buffer<S> numbers;
      S* to;
    };
    MemorySpace* memory_ = nullptr;
    std::list<Copy> copies_;
  };

  struct StagedTape final : Tape {
    explicit StagedTape(std::unique_ptr<Tape> own) : tape(std::move(own)) {}
    size_t bytes() const override { return tape->bytes(); }
    std::unique_ptr<Tape> tape;
    Staging kept;
  };

  int64_t size_of(size_t param) const {
    return element_count(host_->info().params[param].shape, "a parameter");
  }
  std::vector<const S*> params(const std::vector<const S*>& given, Staging& here) const {
    std::vector<const S*> list;
    for (size_t i = 0; i < given.size(); ++i) list.push_back(here.in(given[i], size_of(i)));
    return list;
  }

  std::unique_ptr<Recurrence<S>> host_;
  MemorySpace& memory_;
};

}  // namespace lookback
