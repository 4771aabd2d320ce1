/// What a stack of layers keeps from its forward pass for its backward one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"

namespace lookback {

/// Fills the tensors of a call that is made again and again: what is put keeps its place among
/// them, so that a call like the last one asks for no memory, and what is not put again goes.
template <class T>
class Refill {
 public:
  explicit Refill(Tensors<T>& tensors) : tensors_(tensors) {
    for (auto& [name, tensor] : tensors_) tensor.data = nullptr;
  }
  Tensor<T>& put(const std::string& name, T* data, std::initializer_list<int64_t> shape) {
    Tensor<T>& tensor = tensors_[name];
    tensor.shape.assign(shape);
    tensor.data = data;
    return tensor;
  }
  Tensor<T>& put(const std::string& name, T* data, const std::vector<int64_t>& shape) {
    Tensor<T>& tensor = tensors_[name];
    tensor.shape = shape;
    tensor.data = data;
    return tensor;
  }
  void done() {
    for (auto it = tensors_.begin(); it != tensors_.end();)
      it = it->second.data == nullptr ? tensors_.erase(it) : std::next(it);
  }

 private:
  Tensors<T>& tensors_;
};

template <class S>
class StackTape final : public Tape {
 public:
  size_t bytes() const override {
    int64_t numbers = stream.size() + part.size();
    for (const auto* set : {&h, &queue, &d_h, &d_queue}) {
      for (const Buffer<S>& a : *set) numbers += a.size();
    }
    size_t total = static_cast<size_t>(numbers) * sizeof(S);
    for (const auto& tape : tapes) total += tape->bytes();
    return total;
  }

  /// Where the last step of row b begins in [B,T,units]; -1 for a row without steps.
  int64_t last_step(int64_t b, int64_t units) const {
    const int64_t length = lengths.empty() ? steps : lengths[static_cast<size_t>(b)];
    return length == 0 ? -1 : (b * steps + length - 1) * units;
  }

  int64_t batch = 0, steps = 0;
  bool keep = false, masked = false, filled = false;
  std::vector<std::unique_ptr<Tape>> tapes;  ///< one a pass
  std::vector<ForwardCall<S>> forward;       ///< likewise
  std::vector<BackwardCall<S>> backward;     ///< likewise
  /// [B,T,H]: what the next layer reads, or the sum so far. In backward: its gradient.
  Buffer<S> stream;
  /// [B,T,H] of one layer. In backward: the gradient of its input, [B,T,inputs] of the first.
  Buffer<S> part;
  std::vector<Buffer<S>> h, queue;      ///< final states of each pass: [B,H], [k,B,H]
  std::vector<Buffer<S>> d_h, d_queue;  ///< gradients of a replay's handed-over states
  std::vector<int> given;               ///< queue entries that each pass started from
  std::vector<int32_t> lengths;
};

}  // namespace lookback
