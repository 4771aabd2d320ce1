#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

template <class S>
class LayerNormalization final : public Layer<S> {
 public:
  explicit LayerNormalization(const LayerSetup<S>& setup) : Layer<S>(setup) {
    require_known_options("layer '" + setup.name + "'", setup.options, {"epsilon"});
    epsilon_ = setup.options.number("epsilon", 1e-5);
    REQUIRE(epsilon_ > 0 && epsilon_ < 1, kOption, "layer '", setup.name, "': option epsilon is ",
            epsilon_, "; expected a number between 0 and 1");
  }

  std::vector<ParamInfo> params() const override {
    Initializer one;
    one.value = 1;
    return {{"gamma", {input_.features}, one}, {"beta", {input_.features}, Initializer()}};
  }

  bool reads_y() const override { return false; }

  void forward(const Pass& pass, const S* x, S* y) override {
    backend_.layer_norm(norm_of(pass, x), y);
  }

  void backward(const Pass& pass, const S* x, const S*, S* dy, S* dx) override {
    const LayerNorm<S> norm = norm_of(pass, x);
    if (S* d_beta = memory_.grads[1]) backend_.sum_rows(norm.rows, norm.cols, dy, d_beta);
    backend_.layer_norm_backward(norm, dy, dx);
    if (S* d_gamma = memory_.grads[0]) backend_.sum_rows(norm.rows, norm.cols, dy, d_gamma);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;
  using Layer<S>::memory_;

  LayerNorm<S> norm_of(const Pass& pass, const S* x) const {
    LayerNorm<S> norm;
    norm.rows = input_.sequence ? pass.batch * pass.steps : pass.batch;
    norm.cols = input_.features;
    norm.epsilon = epsilon_;
    norm.gain = memory_.params[0];
    norm.bias = memory_.params[1];
    norm.x = x;
    return norm;
  }

  double epsilon_ = 1e-5;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_layer_norm(const LayerSetup<S>& setup) {
  return std::make_unique<LayerNormalization<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_layer_norm(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_layer_norm(const LayerSetup<double>&);

}  // namespace lookback
