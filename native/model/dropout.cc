#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

template <class S>
class Dropout final : public Layer<S> {
 public:
  explicit Dropout(const LayerSetup<S>& setup) : Layer<S>(setup) {
    require_known_options("layer '" + setup.name + "'", setup.options, {"rate"});
    rate_ = setup.options.number("rate", 0.5);
    REQUIRE(rate_ >= 0 && rate_ < 1, kOption, "layer '", setup.name, "': option rate is ", rate_,
            "; expected a probability of dropping in [0, 1)");
  }

  bool reads_x() const override { return false; }
  bool reads_y() const override { return false; }

  void forward(const Pass& pass, const S* x, S* y) override { mask(pass, x, y); }

  void backward(const Pass& pass, const S*, const S*, S* dy, S* dx) override {
    if (dx != nullptr) mask(pass, dy, dx);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::index_;
  using Layer<S>::input_;

  /// Elements of a row are numbered step by step, so a longer batch draws the same masks for the
  /// steps it shares.
  void mask(const Pass& pass, const S* from, S* to) {
    if (!pass.training || rate_ == 0) {
      backend_.memory().copy(from, input_.elements(pass.batch, pass.steps), to);
      return;
    }
    DropoutKey key = pass.dropout;
    key.layer = index_;
    const int64_t cols = input_.sequence ? pass.steps * input_.features : input_.features;
    backend_.dropout(key, rate_, pass.batch, cols, from, to);
  }

  double rate_ = 0;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_dropout(const LayerSetup<S>& setup) {
  return std::make_unique<Dropout<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_dropout(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_dropout(const LayerSetup<double>&);

}  // namespace lookback
