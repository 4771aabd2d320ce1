#include "model/loss.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "model/layer.h"

namespace lookback {
namespace {

/// In the order of LossKind.
const std::vector<std::string>& kind_names() {
  static const std::vector<std::string> names = {"softmaxCrossEntropy",
                                                 "meanSquaredError",
                                                 "meanAbsoluteError",
                                                 "huber",
                                                 "quantile",
                                                 "gaussianNegativeLogLikelihood",
                                                 "binaryCrossentropy"};
  return names;
}

std::vector<double> read_quantiles(const Spec& spec, std::vector<std::string>& known) {
  std::vector<double> quantiles;
  for (int i = 0; spec.has("quantile" + std::to_string(i)); ++i) {
    const std::string key = "quantile" + std::to_string(i);
    const double value = spec.number(key, 0);
    REQUIRE(value > 0 && value < 1, kOption, "loss option ", key, " is ", value,
            "; expected a number between 0 and 1");
    quantiles.push_back(value);
    known.push_back(key);
  }
  return quantiles;
}

}  // namespace

Activation Loss::ending() const {
  if (kind == LossKind::kSoftmaxCrossEntropy) return Activation::kSoftmax;
  return kind == LossKind::kBinaryCrossEntropy ? Activation::kSigmoid : Activation::kLinear;
}

int64_t Loss::target_size(int64_t outputs) const {
  int64_t per_target = 1;
  if (kind == LossKind::kQuantile) per_target = static_cast<int64_t>(quantiles.size());
  if (kind == LossKind::kGaussian) per_target = 2;
  REQUIRE(outputs % per_target == 0, kShape, "the loss ", name(), " wants ", per_target,
          " outputs for each target, but the model has ", outputs, " outputs");
  return outputs / per_target;
}

const char* Loss::name() const { return kind_names()[static_cast<size_t>(kind)].c_str(); }

Loss read_loss(const Spec& spec) {
  Loss loss;
  loss.kind = static_cast<LossKind>(spec.choice("kind", kind_names()));
  std::vector<std::string> known = {"kind"};
  if (!loss.wants_labels()) known.push_back("skipNaN");
  loss.skip_nan = spec.flag("skipNaN", false);
  if (loss.kind == LossKind::kHuber) {
    known.push_back("delta");
    loss.delta = spec.number("delta", 1);
    REQUIRE(loss.delta > 0 && std::isfinite(loss.delta), kOption, "loss option delta is ",
            loss.delta, "; expected a finite number above 0");
  }
  if (loss.kind == LossKind::kGaussian) {
    known.push_back("minVariance");
    loss.min_variance = spec.number("minVariance", 0);
    REQUIRE(loss.min_variance >= 0 && std::isfinite(loss.min_variance), kOption,
            "loss option minVariance is ", loss.min_variance,
            "; expected a finite number, 0 or more");
  }
  if (loss.kind == LossKind::kQuantile) {
    loss.quantiles = read_quantiles(spec, known);
    REQUIRE(!loss.quantiles.empty(), kOption,
            "loss option quantile0 is missing; expected at least one quantile");
  }
  require_known_options("loss", spec, known);
  return loss;
}

}  // namespace lookback
