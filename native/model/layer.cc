#include "model/layer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace lookback {
namespace {

template <class S>
using Maker = std::unique_ptr<Layer<S>> (*)(const LayerSetup<S>&);

/// Every kind of layer but the cells.
template <class S>
const std::vector<std::pair<std::string, Maker<S>>>& makers() {
  static const std::vector<std::pair<std::string, Maker<S>>> list = {
      {"dense", make_dense<S>},         {"dropout", make_dropout<S>},
      {"embedding", make_embedding<S>}, {"layerNorm", make_layer_norm<S>},
      {"pool", make_pool<S>},           {"bidirectional", make_bidirectional<S>},
      {"residual", make_residual<S>}};
  return list;
}

/// A layer whose steps do not know of each other.
template <class S>
class PlainStream final : public LayerStream<S> {
 public:
  PlainStream(Layer<S>& layer, int64_t batch) : layer_(layer) {
    pass_.batch = batch;
    pass_.steps = 1;
  }
  void step(const S* x, S* y) override { layer_.forward(pass_, x, y); }

 private:
  Layer<S>& layer_;
  Pass pass_;
};

}  // namespace

template <class S>
std::unique_ptr<LayerStream<S>> Layer<S>::make_stream(int64_t batch) {
  return std::make_unique<PlainStream<S>>(*this, batch);
}

template <class S>
std::unique_ptr<Layer<S>> make_layer(const LayerSetup<S>& setup) {
  for (const auto& [kind, make] : makers<S>()) {
    if (kind == setup.kind) return make(setup);
  }
  return make_recurrent(setup);
}

bool is_recurrent(const std::string& kind) {
  const auto& list = makers<float>();
  return std::none_of(list.begin(), list.end(),
                      [&kind](const auto& maker) { return maker.first == kind; });
}

void require_known_options(const std::string& owner, const Spec& spec,
                           const std::vector<std::string>& known) {
  for (const auto& [key, value] : spec.values()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string list;
    for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
    fail(ErrorCode::kOption, text(owner, ": unknown option ", key, "; expected ",
                                  list.empty() ? "none" : "one of " + list));
  }
}

template std::unique_ptr<LayerStream<float>> Layer<float>::make_stream(int64_t);
template std::unique_ptr<LayerStream<double>> Layer<double>::make_stream(int64_t);
template std::unique_ptr<Layer<float>> make_layer(const LayerSetup<float>&);
template std::unique_ptr<Layer<double>> make_layer(const LayerSetup<double>&);

}  // namespace lookback
