/// What RRA declares for its options: slots, weights, the product, its states and how weights start
/// (sections 1, 2 and 8 of its document).
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/spec.h"
#include "cells/rra.h"
#include "parametrization/attention_weights.h"

namespace lookback {

/// One declaration in the making.
class RraDeclaration {
 public:
  RraDeclaration(const Spec& spec, Declaration& d) : spec_(spec), d_(d) { read_options(); }

  Rra make() {
    declare_slots();
    declare_states();
    LinearInfo product = declare_product();
    if (cell_.attention == Rra::Attention::kGate) {
      declare_table();
    } else {
      cell_.dw = d_.scratch(cell_.K);
    }
    if (cell_.attention == Rra::Attention::kSoftmaxPerStep) add_logits(product);
    cell_.product = d_.linear(std::move(product));
    declare_starts(spec_, d_);
    name_slots();
    return cell_;
  }

 private:
  using Normalize = AttentionWeights::Normalize;
  /// Numbers of a table; sums of its gradient are held for every row of the batch.
  static constexpr int64_t kMaxTable = int64_t{1} << 26;

  int gates() const { return cell_.gated ? Rra::kGates : 1; }
  int depth() const { return cell_.K + cell_.lag - 1; }

  void read_options() {
    inputs_ = spec_.integer("inputSize", 0, 1, kMaxUnits);
    cell_.units = spec_.integer("units", 0, 1, kMaxUnits);
    cell_.K = spec_.integer("K", 10, 1, kMaxUnits);
    cell_.lag = spec_.integer("lag", 1, 1, kMaxUnits);
    cell_.gated = spec_.choice("base", {"lstm", "rnn"}) == 0;
    cell_.attention = static_cast<Rra::Attention>(
        spec_.choice("attention", {"gate", "softmaxPerStep", "dotPerStep"}));
    normalize_ =
        static_cast<Normalize>(spec_.choice("normalize", {"sum", "softmax", "l1", "none"}));
    cell_.per_unit = spec_.choice("gateShape", {"vector", "matrix"}) == 1;
    cell_.inject = static_cast<Rra::Inject>(
        spec_.choice("inject", {"insideTanh", "output", "gatedOutput", "cell", "candidate"}));
    cell_.renormalize = spec_.choice("warmup", {"zeros", "renormalize"}) == 1;
    cell_.include_initial = spec_.flag("includeInitial", false);
    cell_.activation =
        static_cast<Rra::Activation>(spec_.choice("activation", {"tanh", "relu", "elu"}));
    cell_.dot_scale = spec_.number("dotScale", 1);
    author_ = spec_.choice("init", {"default", "author"}) == 1;
    order_ = spec_.word("gateOrder", "ifgo");
    std::string letters = order_;
    std::sort(letters.begin(), letters.end());
    REQUIRE(letters == "fgio", kOption, "option gateOrder is '", order_,
            "'; expected the letters i, f, g and o in some order");
    const bool known = cell_.gated || cell_.inject == Rra::Inject::kInsideTanh ||
                       cell_.inject == Rra::Inject::kOutput;
    REQUIRE(known, kOption, "option inject is '", spec_.word("inject", ""),
            "', which needs base 'lstm'; base 'rnn' knows 'insideTanh' and 'output'");
    REQUIRE(cell_.gated || spec_.number("zoneoutCell", 0) == 0, kOption,
            "option zoneoutCell needs base 'lstm'; base 'rnn' has no c");
  }

  void declare_slots() {
    const int H = cell_.units, D = depth();
    const bool per_step = cell_.attention != Rra::Attention::kGate;
    d_.x = d_.tape(inputs_);
    d_.dx = d_.scratch(inputs_);
    cell_.z = d_.tape(gates() * H + (per_step ? cell_.K : 0));
    if (cell_.gated) {
      cell_.p = d_.tape(H);
      cell_.c = d_.tape(H, 1);
      cell_.dc = d_.carry(H);
    }
    cell_.h = d_.tape(H, D);
    cell_.dh = d_.carry(H, D);
    cell_.dy = d_.scratch(H);
    cell_.a = d_.scratch(H);
    cell_.past = d_.past(H, D);
    cell_.d_past = d_.past_gradient(H, D);
    d_.y = cell_.h;
    d_.dy = cell_.dy;
  }

  void name_slots() {
    const int H = cell_.units;
    for (int gate = 0; cell_.gated && gate < Rra::kGates; ++gate)
      d_.named(std::string(1, "ifgo"[gate]), cell_.z, gate * H, H);
    if (cell_.gated) {
      d_.named("p", cell_.p);
      d_.named("c", cell_.c);
    } else {
      d_.named("phi", cell_.z, 0, H);
    }
    d_.named("h", cell_.h);
    if (cell_.attention != Rra::Attention::kGate) d_.named("w", cell_.z, gates() * H, cell_.K);
  }

  Start kernel() const {
    const double width = 1.0 / std::sqrt(static_cast<double>(cell_.units));
    return {Start::kUniform, author_ ? 0.1 : width};
  }

  /// W_x, W_h and b in the stored order of the gates.
  LinearInfo declare_product() {
    const int H = cell_.units, G = gates();
    const auto stored = [&](int gate) {
      return cell_.gated ? static_cast<int>(order_.find("ifgo"[gate])) * H : 0;
    };
    Start bias;
    if (cell_.gated && !author_) {
      bias.constant_begin = stored(Rra::kF);
      bias.constant_end = stored(Rra::kF) + H;
      bias.constant = 1;
    }
    const int W_x = d_.param("W_x", {G * H, inputs_}, kernel());
    const int W_h = d_.param("W_h", {G * H, H}, kernel());
    const int b = d_.param("b", {G * H}, bias);
    LinearInfo product;
    product.out = product.d_out = cell_.z;
    product.rows = G * H;
    product.sources = {{d_.x, 0, d_.dx, false}, cell_.recurrent.source()};
    for (int gate = 0; gate < G; ++gate) {
      product.blocks.push_back({W_x, stored(gate), 0, H, inputs_, gate * H, 0});
      product.blocks.push_back({W_h, stored(gate), 0, H, H, gate * H, 1});
      product.biases.push_back({b, stored(gate), H, gate * H});
    }
    return product;
  }

  /// The logits are more rows of the same product.
  void add_logits(LinearInfo& product) {
    const int H = cell_.units, K = cell_.K, row = product.rows;
    const int V_x = d_.param("V_x", {K, inputs_}, kernel());
    const int V_h = d_.param("V_h", {K, H}, kernel());
    const int v_b = d_.param("v_b", {K});
    product.blocks.push_back({V_x, 0, 0, K, inputs_, row, 0});
    product.blocks.push_back({V_h, 0, 0, K, H, row, 1});
    product.biases.push_back({v_b, 0, K, row});
    product.rows += K;
  }

  /// W_a starts in [0, 1), away from the pole, where it is divided by its sum, and as the author
  /// has it. Otherwise at 0: softmax then begins with a plain average, no norm with a plain LSTM.
  Start weights_start() const {
    Start start;
    const bool divided = normalize_ == Normalize::kSum || normalize_ == Normalize::kL1;
    if (!divided && !author_) return start;
    const int64_t count = int64_t{cell_.K} * (cell_.per_unit ? cell_.units : 1);
    start.kind = Start::kCustom;
    start.fill = [count](const std::function<double(int64_t)>& uniform, double* values) {
      for (int64_t i = 0; i < count; ++i) values[i] = uniform(i);
    };
    return start;
  }

  void declare_table() {
    const int K = cell_.K, columns = cell_.per_unit ? cell_.units : 1;
    const int64_t numbers = int64_t{K} * columns * (cell_.renormalize ? K : 1);
    REQUIRE(numbers <= kMaxTable, kOption, "the weights of a window of ", K, " entries are ",
            numbers, " numbers; expected at most ", kMaxTable,
            ": choose a smaller K, gateShape 'vector' or warmup 'zeros'");
    std::vector<int> shape{K};
    if (cell_.per_unit) shape.push_back(cell_.units);
    const int W_a = d_.param("W_a", shape, weights_start());
    d_.parametrization =
        std::make_shared<AttentionWeights>(W_a, "W_a", K, columns, cell_.renormalize, normalize_);
    if (cell_.renormalize) shape.insert(shape.begin(), K);
    cell_.table = d_.vector(d_.derived("w", shape), static_cast<int>(numbers));
    cell_.d_table = d_.sum(cell_.table);
  }

  void declare_states() {
    d_.states = {{"h0", "h_n", cell_.h, cell_.dh}};
    if (cell_.gated) d_.states.push_back({"c0", "c_n", cell_.c, cell_.dc});
    cell_.window = static_cast<int>(d_.states.size());
    StateInfo window{"window0", "window_n", cell_.h, cell_.dh, depth(), true};
    window.past = cell_.past;
    window.d_past = cell_.d_past;
    d_.states.push_back(window);
    cell_.recurrent = RecurrentInput::declare(spec_, d_, cell_.h, cell_.dh);
    declare_extensions(spec_, d_);
  }

  const Spec& spec_;
  Declaration& d_;
  Rra cell_;
  int inputs_ = 0;
  bool author_ = false;
  Normalize normalize_ = Normalize::kSum;
  std::string order_;
};

inline Rra Rra::declare(const Spec& spec, Declaration& d) { return RraDeclaration(spec, d).make(); }

}  // namespace lookback
