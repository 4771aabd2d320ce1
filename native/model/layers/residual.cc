#include "model/chain.h"
#include "model/layers/wrapper.h"

namespace lookback {
namespace {

template <class S>
class ResidualStream final : public LayerStream<S> {
 public:
  ResidualStream(Backend<S>& backend, const LayerChain<S>& chain, int64_t batch)
      : backend_(backend), chain_(chain) {
    for (const auto& layer : chain.layers()) {
      parts_.push_back(layer->make_stream(batch));
      const int64_t size = checked_mul(batch, layer->output().features, "an activation");
      outputs_.emplace_back(size, "an activation", backend.memory());
    }
  }

  void step(const S* x, S* y) override {
    const S* from = x;
    for (size_t i = 0; i < parts_.size(); ++i) {
      parts_[i]->step(from, outputs_[i].data());
      from = outputs_[i].data();
    }
    backend_.memory().copy(x, outputs_.back().size(), y);
    backend_.add(outputs_.back().size(), from, y);
  }

  void keep() override {
    for (const auto& part : parts_) part->keep();
  }
  void collect(const std::string& prefix,
               std::vector<typename LayerStream<S>::Entry>& to) override {
    for (size_t i = 0; i < parts_.size(); ++i)
      parts_[i]->collect(prefix + chain_.layers()[i]->name() + ".", to);
  }
  void set_started(bool started) override {
    for (const auto& part : parts_) part->set_started(started);
  }
  int64_t bytes() const override {
    int64_t sum = 0;
    for (size_t i = 0; i < parts_.size(); ++i) sum += parts_[i]->bytes() + outputs_[i].bytes();
    return sum;
  }

 private:
  Backend<S>& backend_;
  const LayerChain<S>& chain_;
  std::vector<std::unique_ptr<LayerStream<S>>> parts_;
  std::vector<Buffer<S>> outputs_;
};

template <class S>
class Residual final : public Wrapper<S> {
 public:
  explicit Residual(const LayerSetup<S>& setup) : Wrapper<S>(setup) {
    require_known_options("layer '" + setup.name + "'", setup.options, {});
    REQUIRE(!setup.inner.empty(), kOption, "layer '", setup.name,
            "' has no layers inside; expected at least one");
    FeatureShape shape = setup.input;
    for (const LayerSpec& spec : setup.inner) {
      const size_t number = chain_.layers().size() + 1;
      const std::string name =
          spec.options.word("name", spec.options.word("kind", "") + "_" + std::to_string(number));
      for (const auto& other : chain_.layers()) {
        REQUIRE(other->name() != name, kOption, "two layers in '", setup.name, "' are named '",
                name, "'; give each its own name");
      }
      chain_.add(make_inner(setup, spec, name, shape), setup.backend.memory());
      this->parts_.push_back(chain_.layers().back().get());
      shape = chain_.layers().back()->output();
    }
    REQUIRE(shape.sequence == setup.input.sequence && shape.features == setup.input.features,
            kOption, "layer '", setup.name, "' adds ", shape.sequence ? "a sequence" : "a row",
            " of ", shape.features, " features to ", setup.input.sequence ? "a sequence" : "a row",
            " of ", setup.input.features, "; expected the same shape");
  }

  bool reads_x() const override { return chain_.layers().front()->reads_x(); }
  bool reads_y() const override { return false; }
  int64_t bytes() const override { return chain_.bytes(); }

  std::unique_ptr<LayerStream<S>> make_stream(int64_t batch) override {
    return std::make_unique<ResidualStream<S>>(backend_, chain_, batch);
  }

  void forward(const Pass& pass, const S* x, S* y) override {
    const int64_t size = input_.elements(pass.batch, pass.steps);
    backend_.memory().copy(x, size, y);
    backend_.add(size, chain_.forward(own(pass), x), y);
  }

  void backward(const Pass& pass, const S* x, const S*, S* dy, S* dx) override {
    const int64_t size = input_.elements(pass.batch, pass.steps);
    backend_.memory().copy(dy, size, chain_.output_gradient(pass));
    chain_.backward(own(pass), x, dx);
    if (dx != nullptr) backend_.add(size, dy, dx);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;

  static Pass own(const Pass& pass) {
    Pass inner = pass;
    inner.ending = Activation::kLinear;
    return inner;
  }

  LayerChain<S> chain_;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_residual(const LayerSetup<S>& setup) {
  return std::make_unique<Residual<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_residual(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_residual(const LayerSetup<double>&);

}  // namespace lookback
