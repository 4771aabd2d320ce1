#include "model/chain.h"

namespace lookback {

template <class S>
const S* LayerChain<S>::forward(const Pass& pass, const S* x) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer<S>& layer = *layers_[i];
    outputs_[i].ensure(layer.output().elements(pass.batch, pass.steps), "an activation");
    layer.forward(pass_of(pass, i), x, outputs_[i].data());
    x = outputs_[i].data();
  }
  return x;
}

template <class S>
S* LayerChain<S>::gradient_of(size_t i, const Pass& pass) {
  const bool last = i + 1 == layers_.size();
  if (!last && !layers_[i]->reads_y() && !layers_[i + 1]->reads_x()) return outputs_[i].data();
  Buffer<S>& gradient = d_outputs_[i % 2];
  gradient.ensure(layers_[i]->output().elements(pass.batch, pass.steps),
                  "the gradient of an activation");
  return gradient.data();
}

template <class S>
S* LayerChain<S>::output_gradient(const Pass& pass) {
  return gradient_of(layers_.size() - 1, pass);
}

template <class S>
void LayerChain<S>::backward(const Pass& pass, const S* x, S* dx) {
  S* dy = output_gradient(pass);
  for (size_t i = layers_.size(); i-- > 0;) {
    S* const d_input = i > 0 ? gradient_of(i - 1, pass) : dx;
    layers_[i]->backward(pass_of(pass, i), i > 0 ? outputs_[i - 1].data() : x, outputs_[i].data(),
                         dy, d_input);
    dy = d_input;
  }
}

template <class S>
int64_t LayerChain<S>::bytes() const {
  int64_t sum = d_outputs_[0].bytes() + d_outputs_[1].bytes();
  for (const Buffer<S>& output : outputs_) sum += output.bytes();
  for (const auto& layer : layers_) sum += layer->bytes();
  return sum;
}

template class LayerChain<float>;
template class LayerChain<double>;

}  // namespace lookback
