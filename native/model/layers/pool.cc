#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

template <class S>
class PoolLayer final : public Layer<S> {
 public:
  explicit PoolLayer(const LayerSetup<S>& setup) : Layer<S>(setup) {
    require_known_options("layer '" + setup.name + "'", setup.options, {"over"});
    REQUIRE(setup.input.sequence, kOption, "layer '", setup.name,
            "' pools over steps and needs a sequence; set returnSequences: true on the recurrent "
            "layer before it");
    kind_ = static_cast<PoolKind>(setup.options.choice("over", {"last", "mean", "max"}));
    output_.sequence = false;
  }

  bool reads_x() const override { return kind_ == PoolKind::kMax; }
  bool reads_y() const override { return false; }

  void forward(const Pass& pass, const S* x, S* y) override { backend_.pool(pool_of(pass, x), y); }

  std::unique_ptr<LayerStream<S>> make_stream(int64_t batch) override {
    if (kind_ != PoolKind::kLast) this->refuse_stream("pools over all steps");
    return Layer<S>::make_stream(batch);
  }

  void backward(const Pass& pass, const S* x, const S*, S* dy, S* dx) override {
    if (dx != nullptr) backend_.pool_backward(pool_of(pass, x), dy, dx);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;
  using Layer<S>::output_;

  Pool<S> pool_of(const Pass& pass, const S* x) const {
    return {kind_, pass.batch, pass.steps, input_.features, pass.lengths, x};
  }

  PoolKind kind_ = PoolKind::kLast;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_pool(const LayerSetup<S>& setup) {
  return std::make_unique<PoolLayer<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_pool(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_pool(const LayerSetup<double>&);

}  // namespace lookback
