/// The open loop of a Trainer: forward and backward as calls of their own.
#include <utility>

#include "base/error.h"
#include "model/trainer.h"

namespace lookback {

template <class S>
HostTensor Trainer<S>::forward(HostTensor x, std::optional<std::vector<int32_t>> lengths,
                               bool training, StateCall* states, std::optional<HostTensor> resets) {
  open_ = false;
  require_input_shape(x.shape, x.size(), model_.input().features);
  Pass pass;
  pass.batch = x.shape[0];
  pass.steps = x.shape[1];
  if (lengths) {
    require_lengths(lengths->data(), static_cast<int64_t>(lengths->size()), pass.batch, pass.steps);
    batch_.lengths = std::move(*lengths);
    pass.lengths = batch_.lengths.data();
  }
  Buffer<S> numbers = take_numbers<S>(std::move(x), "x");
  require_finite(numbers.data(), pass.batch, pass.steps, model_.input().features, "x");
  batch_.x = moved_to(backend_.memory(), std::move(numbers), "x");
  if (resets) {
    require_resets(*resets, pass.batch, pass.steps);
    batch_.resets = std::move(std::get<Buffer<int32_t>>(resets->data));
    pass.resets = batch_.resets.data();
  }
  std::optional<CarriedLoan<S>> loan;
  if (states != nullptr) {
    loan.emplace(carried_);
    carried_.hold(pass.batch);
    pass.carry = true;
    if (states->initial) {
      carried_.check(*states->initial, pass.batch);
      carried_.begin_from(*states->initial, 0);
    }
  }
  pass.training = training;
  pass.keep = true;
  pass.dropout.seed = model_.seed();
  pass.dropout.step = static_cast<uint64_t>(counters_.draws);
  if (training && compiled()) settle_once();
  remember_buffers();
  try {
    const S* output = model_.forward(pass, batch_.x.data());
    const FeatureShape shape = model_.output();
    std::vector<int64_t> result{pass.batch};
    if (shape.sequence) result.push_back(pass.steps);
    result.push_back(shape.features);
    HostTensor copy = copy_tensor(backend_.memory(), std::move(result), output, "the outputs");
    if (states != nullptr && states->wanted) {
      carried_.keep();
      states->final = carried_.snapshot();
    }
    if (training) ++counters_.draws;
    open_pass_ = pass;
    open_ = true;
    given_ = states != nullptr && states->initial;
    return copy;
  } catch (...) {
    restore_buffers();
    throw;
  }
}

template <class S>
HostTensor Trainer<S>::backward(HostTensor d_output, StateCall* states) {
  REQUIRE(open_, kState,
          "backward has no forward pass to go back through; call forward first, and backward once "
          "after it");
  const FeatureShape shape = model_.output();
  std::vector<int64_t> expected{open_pass_.batch};
  if (shape.sequence) expected.push_back(open_pass_.steps);
  expected.push_back(shape.features);
  REQUIRE(d_output.shape == expected && d_output.size() == element_count(expected, "dOutput"),
          kShape, "the gradient of the output has shape ", shape_text(d_output.shape), " and ",
          d_output.size(), " numbers; expected ", shape_text(expected));
  REQUIRE(states == nullptr || !states->wanted || given_, kState,
          "backward cannot give the gradient of initialState, since the forward pass began from "
          "the model's own states; give forward an initialState");
  std::optional<CarriedLoan<S>> loan;  // room for the gradients of states, as long as this call
  if (states != nullptr) {
    loan.emplace(gradients_);
    gradients_.hold(open_pass_.batch);
    if (states->initial) {
      gradients_.check(*states->initial, open_pass_.batch);
      gradients_.begin_from(*states->initial, 0);
    }
  }
  const Buffer<S> numbers = take_numbers<S>(std::move(d_output), "the gradient of the output");
  MemorySpace& memory = backend_.memory();
  memory.copy_in(numbers.data(), numbers.size(), model_.output_gradient(open_pass_));
  const std::vector<int64_t> x_shape{open_pass_.batch, open_pass_.steps, model_.input().features};
  Buffer<S> dx(batch_.x.size(), "the gradient of x", memory);
  if (!has_gradients_) model_.grads().zero();
  open_ = false;
  // What a cancelled pass leaves behind is half a gradient: the next backward starts from zero.
  has_gradients_ = false;
  Pass pass = open_pass_;
  pass.carry_gradients = states != nullptr;
  model_.backward(pass, batch_.x.data(), dx.data());
  has_gradients_ = true;
  if (states != nullptr && states->wanted) {
    gradients_.keep();
    states->final = gradients_.snapshot();
  }
  if (memory.is_host()) return {x_shape, std::move(dx)};
  return copy_tensor<S>(memory, x_shape, dx.data(), "the gradient of x");
}

#define LOOKBACK_INSTANTIATE(S)                                                                  \
  template HostTensor Trainer<S>::forward(HostTensor, std::optional<std::vector<int32_t>>, bool, \
                                          StateCall*, std::optional<HostTensor>);                \
  template HostTensor Trainer<S>::backward(HostTensor, StateCall*);
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
