#include <cmath>

#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

constexpr int kMaxUnits = 1 << 30;

Initializer uniform(double half_width) {
  Initializer init;
  init.kind = Initializer::kUniform;
  init.value = half_width;
  return init;
}

template <class S>
class Dense final : public Layer<S> {
 public:
  explicit Dense(const LayerSetup<S>& setup) : Layer<S>(setup) {
    const Spec& options = setup.options;
    require_known_options("layer '" + setup.name + "'", options,
                          {"units", "activation", "useBias", "init"});
    output_.features = options.integer("units", 0, 1, kMaxUnits);
    activation_ = static_cast<Activation>(
        options.choice("activation", {"linear", "relu", "elu", "tanh", "sigmoid", "softmax"}));
    use_bias_ = options.flag("useBias", true);
    pytorch_init_ = options.choice("init", {"xavier", "pytorch"}) == 1;
  }

  std::vector<ParamInfo> params() const override {
    const auto in = static_cast<double>(input_.features);
    const auto out = static_cast<double>(output_.features);
    const double by_inputs = 1.0 / std::sqrt(in);
    const double xavier = std::sqrt(6.0 / (in + out));
    std::vector<ParamInfo> list;
    list.push_back(
        {"W", {output_.features, input_.features}, uniform(pytorch_init_ ? by_inputs : xavier)});
    if (use_bias_) {
      list.push_back({"b", {output_.features}, uniform(pytorch_init_ ? by_inputs : 0.0)});
    }
    return list;
  }

  bool reads_y() const override { return activation_ != Activation::kLinear; }

  void forward(const Pass& pass, const S* x, S* y) override {
    const int64_t rows = rows_of(pass), in = input_.features, out = output_.features;
    Gemm<S> product;
    product.m = rows, product.n = out, product.k = in;
    product.a = x, product.a_row = in;
    product.b = memory_.params[kW], product.b_row = 1, product.b_col = in;
    product.c = y, product.c_row = out;
    product.any_order = pass.training && pass.keep;
    backend_.gemm(product);
    if (use_bias_) backend_.add_bias(rows, out, memory_.params[kB], y);
    backend_.activate(activation_of(pass), rows, out, y);
  }

  void backward(const Pass& pass, const S* x, const S* y, S* dy, S* dx) override {
    const int64_t rows = rows_of(pass), in = input_.features, out = output_.features;
    backend_.activate_backward(activation_of(pass), rows, out, y, dy);
    if (S* dw = memory_.grads[kW]) {
      Gemm<S> product;
      product.m = out, product.n = in, product.k = rows;
      product.a = dy, product.a_row = 1, product.a_col = out;
      product.b = x, product.b_row = in;
      product.beta = 1, product.c = dw, product.c_row = in;
      product.any_order = true;
      backend_.gemm(product);
      if (use_bias_) backend_.sum_rows(rows, out, dy, memory_.grads[kB]);
    }
    if (dx != nullptr) {
      Gemm<S> product;
      product.m = rows, product.n = in, product.k = out;
      product.a = dy, product.a_row = out;
      product.b = memory_.params[kW], product.b_row = in;
      product.c = dx, product.c_row = in;
      product.any_order = true;
      backend_.gemm(product);
    }
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;
  using Layer<S>::output_;
  using Layer<S>::memory_;
  enum Param { kW, kB };

  int64_t rows_of(const Pass& pass) const {
    return input_.sequence ? pass.batch * pass.steps : pass.batch;
  }
  Activation activation_of(const Pass& pass) const {
    return pass.ending == activation_ ? Activation::kLinear : activation_;
  }

  Activation activation_ = Activation::kLinear;
  bool use_bias_ = true;
  bool pytorch_init_ = false;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_dense(const LayerSetup<S>& setup) {
  return std::make_unique<Dense<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_dense(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_dense(const LayerSetup<double>&);

}  // namespace lookback
