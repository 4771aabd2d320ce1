#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

constexpr int kMaxRows = 1 << 24;  ///< whole numbers up to there are exact in float32
constexpr int kMaxUnits = 1 << 20;

template <class S>
class Embedding final : public Layer<S> {
 public:
  explicit Embedding(const LayerSetup<S>& setup) : Layer<S>(setup) {
    const Spec& options = setup.options;
    require_known_options("layer '" + setup.name + "'", options, {"inputDim", "units", "init"});
    REQUIRE(setup.input.features == 1, kOption, "layer '", setup.name, "' reads ",
            setup.input.features, " features; expected one, the number of a row of its table");
    rows_ = options.integer("inputDim", 0, 1, kMaxRows);
    output_.features = options.integer("units", 0, 1, kMaxUnits);
    index_of_.use(setup.backend.memory());
    normal_init_ = options.choice("init", {"uniform", "normal"}) == 1;
  }

  std::vector<ParamInfo> params() const override {
    Initializer init;
    init.kind = normal_init_ ? Initializer::kNormal : Initializer::kUniform;
    init.value = normal_init_ ? 1.0 : 0.05;
    return {{"W", {rows_, output_.features}, init}};
  }

  int64_t bytes() const override { return index_of_.bytes(); }

  bool reads_y() const override { return false; }

  void forward(const Pass& pass, const S* x, S* y) override {
    const int64_t count = read_indices(pass, x);
    backend_.gather_rows(count, output_.features, index_of_.data(), memory_.params[0], y);
  }

  void backward(const Pass& pass, const S* x, const S*, S* dy, S* dx) override {
    const int64_t count = read_indices(pass, x);
    if (memory_.grads[0] != nullptr) {
      backend_.scatter_rows(count, output_.features, index_of_.data(), dy, rows_, memory_.grads[0]);
    }
    if (dx != nullptr) backend_.memory().zero(dx, count);
  }

 private:
  using Layer<S>::backend_;
  using Layer<S>::input_;
  using Layer<S>::memory_;
  using Layer<S>::name_;
  using Layer<S>::output_;

  int64_t read_indices(const Pass& pass, const S* x) {
    const int64_t count = input_.elements(pass.batch, pass.steps);
    const int64_t steps = input_.sequence ? pass.steps : 1;
    index_of_.ensure(count, "rows of a table");
    const int64_t wrong = backend_.read_indices(
        {count, steps, input_.sequence ? pass.lengths : nullptr, rows_, x}, index_of_.data());
    if (wrong < 0) return count;
    S value(0);
    backend_.memory().copy_out(x + wrong, 1, &value);
    fail(
        ErrorCode::kData,
        text("layer '", name_, "' reads ", value, " at row ", wrong / steps, " of the batch, step ",
             wrong % steps, "; expected a whole number in 0..", rows_ - 1, ", a row of its table"));
  }

  int64_t rows_ = 0;
  bool normal_init_ = false;
  Buffer<int32_t> index_of_;
};

}  // namespace

template <class S>
std::unique_ptr<Layer<S>> make_embedding(const LayerSetup<S>& setup) {
  return std::make_unique<Embedding<S>>(setup);
}

template std::unique_ptr<Layer<float>> make_embedding(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_embedding(const LayerSetup<double>&);

}  // namespace lookback
