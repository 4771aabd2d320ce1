#include "model/layers/wrapper.h"

namespace lookback {
namespace {

/// Both directions have weights of their own, "forward.*" and "backward.*". Features of the output:
/// those of the forward direction, then those of the other; or their sum.
template <class S>
class Bidirectional final : public Wrapper<S> {
 public:
  explicit Bidirectional(const LayerSetup<S>& setup) : Wrapper<S>(setup) {
    require_known_options("layer '" + setup.name + "'", setup.options, {"merge"});
    concat_ = setup.options.choice("merge", {"concat", "sum"}) == 0;
    dx_.use(setup.backend.memory());
    REQUIRE(setup.inner.size() == 1, kOption, "layer '", setup.name, "' has ", setup.inner.size(),
            " layers inside; expected one recurrent layer");
    LayerSpec spec = setup.inner.front();
    const std::string kind = spec.options.word("kind", "");
    REQUIRE(is_recurrent(kind), kOption, "layer '", setup.name, "' has a layer of kind '", kind,
            "' inside; expected a recurrent one");
    REQUIRE(!spec.options.flag("goBackwards", false), kOption, "layer '", setup.name,
            "': the layer inside has goBackwards; leave it out, both directions are made from it");
    for (int i = 0; i < 2; ++i) {
      if (i == 1) spec.options.set("goBackwards", true);
      direction_[i].layer = make_inner(setup, spec, i == 0 ? "forward" : "backward", setup.input);
      direction_[i].y.use(setup.backend.memory());
      this->parts_.push_back(direction_[i].layer.get());
    }
    output_ = direction_[0].layer->output();
    if (concat_) output_.features *= 2;
  }

  int64_t bytes() const override {
    int64_t sum = dx_.bytes();
    for (const Direction& each : direction_) sum += each.layer->bytes() + each.y.bytes();
    return sum;
  }

  bool reads_x() const override { return direction_[0].layer->reads_x(); }
  bool reads_y() const override { return false; }

  std::unique_ptr<LayerStream<S>> make_stream(int64_t) override {
    this->refuse_stream("reads each row from both ends");
  }

  void forward(const Pass& pass, const S* x, S* y) override {
    const FeatureShape half = direction_[0].layer->output();
    const int64_t size = half.elements(pass.batch, pass.steps);
    for (Direction& each : direction_) {
      each.y.ensure(size, "an activation");
      each.layer->forward(own(pass), x, each.y.data());
    }
    if (concat_) {
      for (int i = 0; i < 2; ++i) {
        backend_.copy_columns(size / half.features, half.features, direction_[i].y.data(),
                              half.features, y + i * half.features, output_.features);
      }
    } else {
      backend_.memory().copy(direction_[0].y.data(), size, y);
      backend_.add(size, direction_[1].y.data(), y);
    }
  }

  void backward(const Pass& pass, const S* x, const S*, S* dy, S* dx) override {
    const FeatureShape half = direction_[0].layer->output();
    const int64_t size = half.elements(pass.batch, pass.steps);
    const int64_t x_size = input_.elements(pass.batch, pass.steps);
    if (dx != nullptr) dx_.ensure(x_size, "the gradient of an activation");
    for (int i = 0; i < 2; ++i) {
      Direction& each = direction_[i];
      // A layer may overwrite the gradient that it is given, and a recurrent one never reads y
      // again.
      backend_.copy_columns(size / half.features, half.features,
                            dy + (concat_ ? i * half.features : 0), output_.features, each.y.data(),
                            half.features);
      S* const to = dx == nullptr || i == 0 ? dx : dx_.data();
      each.layer->backward(own(pass), x, each.y.data(), each.y.data(), to);
    }
    if (dx != nullptr) backend_.add(x_size, dx_.data(), dx);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;
  using Layer<S>::output_;

  struct Direction {
    std::unique_ptr<Layer<S>> layer;
    Buffer<S> y;  ///< in backward its gradient
  };

  static Pass own(const Pass& pass) {
    Pass inner = pass;
    inner.ending = Activation::kLinear;
    return inner;
  }

  bool concat_ = true;
  Direction direction_[2];
  Buffer<S> dx_;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_bidirectional(const LayerSetup<S>& setup) {
  return std::make_unique<Bidirectional<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_bidirectional(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_bidirectional(const LayerSetup<double>&);

}  // namespace lookback
