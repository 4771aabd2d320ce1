/// Calls of cells that the generic tests go through: option sets, sizes, and which optional inputs
/// are given. A new cell of the registry adds its sets here; `every_cell_has_cases` fails until it
/// does.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/spec.h"

namespace lookback {

struct CellCase {
  std::string name;
  std::string cell;
  Spec spec;
  int64_t batch = 5, steps = 6;
  bool training = true;
  int entries = 0;       ///< of the initial state that is given (a queue may hold several); 0: none
  bool lengths = false;  ///< rows end at different steps, one at once and one after the first
  bool resets = false;   ///< rows start afresh before some of their steps
  bool hold = false;     ///< the sequence mask of LSTM: 0, 1 and numbers between
  std::vector<std::string> given = {};  ///< initial states that are given; empty: all
  std::vector<std::string> masks = {};  ///< given masks: "hidden", "attn", "pos"; "input", ...
  bool drawn = false;                   ///< masks drawn from the rates in the spec
};

using Options = std::vector<std::pair<std::string, Spec::Value>>;

inline Spec spec_of(const Options& options) {
  Spec spec;
  for (const auto& [key, value] : options) spec.set(key, value);
  return spec;
}

inline std::string word(const char* text) { return text; }

/// Whether the layers of a stack share one set of weights.
inline bool replays(const Spec& spec) {
  return spec.word("stacking", "stack").rfind("replay", 0) == 0;
}

/// Shared by all cases of one cell: sizes that fill no register block and no tile.
inline CellCase lstm_case(const std::string& name, const Options& options = {}) {
  CellCase c{"lstm " + name, "lstm", spec_of({{"inputSize", 3.0}, {"units", 5.0}})};
  for (const auto& [key, value] : options) c.spec.set(key, value);
  return c;
}

inline CellCase larnn_case(const std::string& norm, const std::string& name,
                           const Options& options = {}) {
  CellCase c{
      "larnn " + norm + " " + name, "larnn",
      spec_of(
          {{"inputSize", 3.0}, {"units", 6.0}, {"heads", 2.0}, {"window", 4.0}, {"layers", 1.0}})};
  c.spec.set("normalization", norm);
  for (const auto& [key, value] : options) c.spec.set(key, value);
  return c;
}

inline void add_lstm_cases(std::vector<CellCase>& cases) {
  cases.push_back(lstm_case("default"));
  for (const char* order : {"ifog", "igfo", "gfio", "fiog"}) {
    cases.push_back(lstm_case(order, {{"gateOrder", word(order)}}));
  }
  for (const char* bias : {"single", "none"}) {
    cases.push_back(lstm_case(std::string("bias ") + bias, {{"bias", word(bias)}}));
  }
  cases.push_back(lstm_case("hard", {{"recurrentActivation", word("hardSigmoid")}}));
  cases.push_back(lstm_case("forget bias", {{"forgetBiasAdd", 0.75}}));
  CellCase c = lstm_case("state");
  c.entries = 1;
  cases.push_back(c);
  c.name = "lstm state and lengths";
  c.lengths = true;
  cases.push_back(c);
  c.name = "lstm state, lengths and mask";
  c.hold = true;
  cases.push_back(c);
  c.name = "lstm state, lengths, mask and resets";
  c.resets = true;
  cases.push_back(c);
  c = lstm_case("resets");
  c.resets = true;
  cases.push_back(c);
  c = lstm_case("mask");
  c.hold = true;
  cases.push_back(c);
  c = lstm_case("evaluation of one step and one row", {{"gateOrder", word("ifog")}});
  c.training = false;
  c.batch = c.steps = 1;
  cases.push_back(c);
  c = lstm_case("several tiles");
  c.batch = 37;
  c.lengths = true;
  cases.push_back(c);
}

/// Ways to call a cell that has no options of its own about it.
inline void add_plain_calls(const CellCase& base, std::vector<CellCase>& cases) {
  CellCase c = base;
  c.name = base.name + ", state";
  c.entries = 1;
  cases.push_back(c);
  c.name = base.name + ", state and lengths";
  c.lengths = true;
  cases.push_back(c);
  c.name = base.name + ", state, lengths and mask";
  c.hold = true;
  cases.push_back(c);
  c.name = base.name + ", state, lengths, mask and resets";
  c.resets = true;
  cases.push_back(c);
  c = base;
  c.name = base.name + ", mask";
  c.hold = true;
  cases.push_back(c);
  c = base;
  c.name = base.name + ", evaluation of one step and one row";
  c.training = false;
  c.batch = c.steps = 1;
  cases.push_back(c);
  c = base;
  c.name = base.name + ", several tiles";
  c.batch = 37;
  c.lengths = true;
  cases.push_back(c);
}

/// A cell with a handful of options, each set by itself.
inline CellCase simple_case(const std::string& cell, const std::string& name,
                            const Options& options = {}) {
  CellCase c{cell + " " + name, cell, spec_of({{"inputSize", 3.0}, {"units", 5.0}})};
  for (const auto& [key, value] : options) c.spec.set(key, value);
  return c;
}

/// What may be around any cell (cells/extensions.h): `states` are those that zoneout knows.
inline void add_extensions(const CellCase& base, const std::vector<std::string>& states,
                           std::vector<CellCase>& cases) {
  CellCase c = base;
  c.name = base.name + ", dropout masks";
  c.spec.set("dropoutMask", word("step"));
  c.masks = {"input", "recurrent"};
  cases.push_back(c);
  c.name = base.name + ", all masks, state, lengths and mask";
  for (const std::string& state : states) c.masks.push_back("zoneout_" + state);
  c.entries = 1;
  c.lengths = c.hold = true;
  cases.push_back(c);
  c = base;
  c.name = base.name + ", zoneout masks";
  for (const std::string& state : states) c.masks.push_back("zoneout_" + state);
  cases.push_back(c);
  for (const char* kind : {"sequence", "step"}) {
    c = base;
    c.name = base.name + ", drawn once a " + kind;
    c.spec.set("dropout", 0.3);
    c.spec.set("recurrentDropout", 0.25);
    c.spec.set("dropoutMask", word(kind));
    c.spec.set("zoneout", 0.2);
    if (states.size() > 1) c.spec.set("zoneoutCell", 0.4);
    c.drawn = c.lengths = true;
    c.batch = 7;
    cases.push_back(c);
  }
  c.name = base.name + ", rates in evaluation";
  c.training = c.drawn = c.lengths = false;
  c.hold = true;
  cases.push_back(c);
}

/// With layer norm, every option that it goes with.
inline void add_layer_norm_cases(const CellCase& plain, const std::vector<std::string>& states,
                                 const std::vector<std::string>& biases,
                                 std::vector<CellCase>& cases) {
  CellCase base = plain;
  base.name += ", layer norm";
  base.spec.set("normalization", word("layer"));
  for (const std::string& bias : biases) {
    CellCase c = base;
    c.name += ", bias " + bias;
    c.spec.set("bias", bias);
    cases.push_back(c);
  }
  add_plain_calls(base, cases);
  add_extensions(base, states, cases);
}

/// What the LSTM has in common with the cells below.
inline void add_lstm_extensions(std::vector<CellCase>& cases) {
  add_extensions(lstm_case("default"), {"h", "c"}, cases);
  add_layer_norm_cases(lstm_case("default"), {"h", "c"}, {"single", "none"}, cases);
  CellCase c =
      lstm_case("layer norm, hard gates, order gfio", {{"normalization", word("layer")},
                                                       {"recurrentActivation", word("hardSigmoid")},
                                                       {"forgetBiasAdd", 0.5},
                                                       {"gateOrder", word("gfio")}});
  c.entries = 1;
  c.hold = true;
  cases.push_back(c);
}

inline void add_rnn_cases(std::vector<CellCase>& cases) {
  for (const char* activation : {"tanh", "relu"}) {
    const CellCase base = simple_case("rnn", activation, {{"activation", word(activation)}});
    cases.push_back(base);
    add_plain_calls(base, cases);
  }
  for (const char* bias : {"single", "none"})
    cases.push_back(simple_case("rnn", std::string("bias ") + bias, {{"bias", word(bias)}}));
  add_extensions(simple_case("rnn", "default"), {"h"}, cases);
  add_layer_norm_cases(simple_case("rnn", "default"), {"h"}, {"single", "none"}, cases);
  add_layer_norm_cases(simple_case("rnn", "relu", {{"activation", word("relu")}}), {"h"}, {},
                       cases);
}

inline void add_gru_cases(std::vector<CellCase>& cases) {
  for (const char* reset : {"after", "before"}) {
    const CellCase base =
        simple_case("gru", std::string("reset ") + reset, {{"reset", word(reset)}});
    cases.push_back(base);
    add_plain_calls(base, cases);
    for (const char* update : {"keep", "write"}) {
      for (const char* order : {"rzn", "zrn"}) {
        CellCase c = base;
        c.name += std::string(", update ") + update + ", order " + order;
        c.spec.set("update", word(update));
        c.spec.set("gateOrder", word(order));
        c.entries = 1;
        c.hold = true;
        cases.push_back(c);
      }
    }
    CellCase c = base;
    c.name += ", no bias";
    c.spec.set("bias", word("none"));
    cases.push_back(c);
  }
  cases.push_back(simple_case("gru", "one bias", {{"bias", word("single")}}));
  for (const char* reset : {"after", "before"})
    add_extensions(simple_case("gru", reset, {{"reset", word(reset)}}), {"h"}, cases);
  for (const char* update : {"keep", "write"}) {
    const CellCase plain = simple_case("gru", update, {{"update", word(update)}});
    add_layer_norm_cases(plain, {"h"}, {"double", "single", "none"}, cases);
  }
  add_layer_norm_cases(simple_case("gru", "zrn", {{"gateOrder", word("zrn")}}), {"h"}, {}, cases);
}

inline void add_scornn_cases(std::vector<CellCase>& cases) {
  const CellCase base = simple_case("scornn", "default");
  cases.push_back(base);
  add_plain_calls(base, cases);
  for (const char* activation : {"relu", "tanh", "sigmoid", "identity"}) {
    const CellCase one = simple_case("scornn", activation, {{"activation", word(activation)}});
    cases.push_back(one);
    add_plain_calls(one, cases);
  }
  for (const char* activation : {"modrelu", "tanh"}) {
    cases.push_back(simple_case("scornn", std::string(activation) + " without bias",
                                {{"activation", word(activation)}, {"bias", false}}));
  }
  cases.push_back(simple_case("scornn", "left", {{"side", word("left")}, {"negatives", 0.0}}));
  cases.push_back(simple_case("scornn", "packed", {{"storage", word("packed")}}));
  cases.push_back(simple_case("scornn", "one unit", {{"units", 1.0}}));
}

inline CellCase enrnn_case(const std::string& name, const Options& options = {}) {
  CellCase c = simple_case("enrnn", name, {{"longUnits", 6.0}, {"shortUnits", 5.0}});
  for (const auto& [key, value] : options) c.spec.set(key, value);
  return c;
}

inline void add_enrnn_cases(std::vector<CellCase>& cases) {
  const CellCase base = enrnn_case("default");
  cases.push_back(base);
  add_plain_calls(base, cases);
  for (const char* activation : {"relu", "tanh", "sigmoid", "identity"})
    cases.push_back(enrnn_case(activation, {{"activation", word(activation)}}));
  for (const char* mode : {"always", "threshold", "off"})
    cases.push_back(enrnn_case(std::string("norm ") + mode, {{"normMode", word(mode)}}));
  cases.push_back(enrnn_case("eps", {{"normMode", word("always")}, {"normEps", 0.25}}));
  cases.push_back(enrnn_case("left", {{"side", word("left")}, {"bias", false}}));
  cases.push_back(enrnn_case("uncoupled", {{"coupled", false}, {"activation", word("tanh")}}));
  cases.push_back(enrnn_case("uncoupled left", {{"coupled", false}, {"side", word("left")}}));
  cases.push_back(enrnn_case("packed", {{"storage", word("packed")}}));
  cases.push_back(enrnn_case("small blocks", {{"longUnits", 1.0}, {"shortUnits", 1.0}}));
}

inline void add_exprnn_cases(std::vector<CellCase>& cases) {
  const CellCase base = simple_case("exprnn", "default");
  cases.push_back(base);
  add_plain_calls(base, cases);
  cases.push_back(simple_case("exprnn", "cayley", {{"map", word("cayley")}}));
  cases.push_back(simple_case("exprnn", "dynamic", {{"mode", word("dynamic")}}));
  cases.push_back(
      simple_case("exprnn", "left",
                  {{"side", word("left")}, {"activation", word("sigmoid")}, {"bias", false}}));
}

inline void add_scurnn_cases(std::vector<CellCase>& cases) {
  const CellCase base = simple_case("scurnn", "default");
  cases.push_back(base);
  add_plain_calls(base, cases);
  cases.push_back(simple_case("scurnn", "exact", {{"modReluEpsIn", 0.0}, {"modReluEpsOut", 0.0}}));
  cases.push_back(
      simple_case("scurnn", "large eps", {{"modReluEpsIn", 0.25}, {"modReluEpsOut", 0.5}}));
  cases.push_back(
      simple_case("scurnn", "left", {{"side", word("left")}, {"sharedInitialState", false}}));
  cases.push_back(simple_case("scurnn", "one unit", {{"units", 1.0}}));
}

inline CellCase rra_case(const std::string& name, const Options& options = {}) {
  CellCase c = simple_case("rra", name, {{"K", 3.0}, {"normalize", word("softmax")}});
  for (const auto& [key, value] : options) c.spec.set(key, value);
  return c;
}

/// Windows that are short, long, of another beginning, and of every kind of weight.
inline void add_rra_windows(std::vector<CellCase>& cases) {
  const auto add = [&](const std::string& name, const Options& options) {
    cases.push_back(rra_case(name, options));
  };
  for (const char* warmup : {"zeros", "renormalize"}) {
    const std::string begin = std::string(warmup) + ", ";
    for (const char* shape : {"vector", "matrix"}) {
      for (const char* normalize : {"sum", "softmax", "l1", "none"}) {
        add(begin + shape + ", " + normalize,
            {{"warmup", word(warmup)}, {"gateShape", word(shape)}, {"normalize", word(normalize)}});
      }
    }
    for (const char* attention : {"gate", "softmaxPerStep", "dotPerStep"}) {
      const Options kind = {{"warmup", word(warmup)}, {"attention", word(attention)}};
      CellCase c = rra_case(begin + attention + ", initial state", kind);
      c.entries = 1;
      c.spec.set("includeInitial", true);
      add_plain_calls(c, cases);  // their given states have a window, too
      c.given = {"h0"};
      c.spec.set("lag", 2.0);
      c.name += " without a window";
      add_plain_calls(c, cases);
      c = rra_case(begin + attention + ", long window", kind);
      c.spec.set("K", 9.0);
      c.spec.set("dotScale", 0.4);
      cases.push_back(c);
      c.name += ", late";
      c.spec.set("lag", 4.0);
      c.spec.set("includeInitial", true);
      cases.push_back(c);
    }
  }
  add("one entry", {{"K", 1.0}, {"normalize", word("sum")}});
}

inline void add_rra_cases(std::vector<CellCase>& cases) {
  add_plain_calls(rra_case("default"), cases);
  for (const char* order : {"ifog", "ogfi"})
    cases.push_back(rra_case(order, {{"gateOrder", word(order)}}));
  for (const char* inject : {"insideTanh", "output", "gatedOutput", "cell", "candidate"}) {
    for (const char* attention : {"gate", "softmaxPerStep", "dotPerStep"}) {
      CellCase c = rra_case(std::string(inject) + ", " + attention,
                            {{"inject", word(inject)}, {"attention", word(attention)}});
      cases.push_back(c);
      c.name += ", mask";
      c.hold = true;
      cases.push_back(c);
    }
  }
  for (const char* inject : {"insideTanh", "output"}) {
    for (const char* activation : {"tanh", "relu", "elu"}) {
      const CellCase c = rra_case(
          std::string("base rnn, ") + inject + ", " + activation,
          {{"base", word("rnn")}, {"inject", word(inject)}, {"activation", word(activation)}});
      cases.push_back(c);
      if (activation == std::string("elu")) add_plain_calls(c, cases);
    }
  }
  cases.push_back(
      rra_case("base rnn, dot", {{"base", word("rnn")}, {"attention", word("dotPerStep")}}));
  add_rra_windows(cases);
}

/// Every option by itself, for one kind of normalisation.
inline std::vector<CellCase> larnn_singles(const std::string& norm) {
  std::vector<CellCase> cases;
  const auto add = [&](const std::string& name, const Options& options) {
    cases.push_back(larnn_case(norm, name, options));
  };
  add("default", {});
  add("one head", {{"heads", 1.0}});
  add("one unit a head", {{"heads", 6.0}});
  add("many units a head", {{"heads", 1.0}, {"units", 11.0}});
  add("window 1", {{"window", 1.0}});
  add("window beyond the sequence", {{"window", 9.0}});
  add("candidate", {{"attentionTarget", word("candidate")}});
  add("candidate, layer mode", {{"attentionTarget", word("candidate")}, {"mode", word("layer")}});
  add("all, layer mode", {{"mode", word("layer")}});
  add("input product", {{"inputProduct", true}, {"inputSize", 6.0}});
  add("linear query", {{"queryActivation", word("none")}});
  add("linear attention", {{"attentionActivation", word("none")}});
  add("linear entries", {{"keyValueActivation", false}});
  add("shared entry norm", {{"keyValueNorm", word("shared")}});
  for (const char* site : {"bnAttention", "bnPre", "bnCell", "bnHidden"}) {
    add(std::string("without ") + site, {{site, false}});
  }
  for (const char* positional : {"concat", "add"}) {
    add(std::string("positional ") + positional, {{"positional", word(positional)}});
    add(std::string("positional from 0, ") + positional,
        {{"positional", word(positional)}, {"positionalOffset", 0.0}});
    add(std::string("positional, linear entries, ") + positional,
        {{"positional", word(positional)}, {"keyValueActivation", false}});
  }
  add("large epsilon", {{"bnEps", 0.01}, {"bnMomentum", 0.3}});
  add("statistics per step", {{"bnStats", word("perStep")}, {"bnMaxSteps", 4.0}});
  for (const char* stacking : {"stack", "residual", "replay", "replayResidual"}) {
    add(std::string("layers, ") + stacking,
        {{"layers", 3.0}, {"stacking", word(stacking)}, {"inputSize", 6.0}});
  }
  add("published start", {{"init", word("published")}});
  return cases;
}

/// Calls that differ in what they are given rather than in their options.
inline void add_larnn_calls(const std::string& norm, std::vector<CellCase>& cases) {
  CellCase c = larnn_case(norm, "evaluation");
  c.training = false;
  cases.push_back(c);
  for (const int entries : {1, 3, 4}) {
    c = larnn_case(norm, "queue of " + std::to_string(entries));
    c.entries = entries;
    cases.push_back(c);
  }
  c = larnn_case(norm, "lengths");
  c.lengths = true;
  cases.push_back(c);
  c = larnn_case(norm, "lengths, state, several tiles", {{"window", 3.0}});
  c.lengths = true;
  c.entries = 2;
  c.batch = 37;
  cases.push_back(c);
  for (const char* stacking : {"stack", "residual"}) {
    c = larnn_case(norm, std::string("layers and lengths, ") + stacking,
                   {{"layers", 2.0}, {"stacking", word(stacking)}, {"inputSize", 6.0}});
    c.lengths = true;
    c.entries = 2;
    cases.push_back(c);
  }
  for (const char* scope : {"state", "output"}) {
    c = larnn_case(norm, std::string("hidden mask on ") + scope,
                   {{"hiddenDropoutScope", word(scope)}});
    c.masks = {"hidden"};
    cases.push_back(c);
  }
  c = larnn_case(norm, "attention mask");
  c.masks = {"attn"};
  cases.push_back(c);
  for (const char* positional : {"concat", "add"}) {
    c = larnn_case(norm, std::string("all masks, ") + positional,
                   {{"positional", word(positional)}, {"layers", 2.0}});
    c.masks = {"hidden", "attn", "pos"};
    c.entries = 2;
    cases.push_back(c);
    c.name += ", linear entries";
    c.spec.set("keyValueActivation", false);
    cases.push_back(c);
  }
  c = larnn_case(norm, "drawn masks",
                 {{"positional", word("concat")},
                  {"hiddenDropout", 0.3},
                  {"attentionDropout", 0.2},
                  {"positionalDropout", 0.25}});
  c.drawn = true;
  cases.push_back(c);
  if (norm != "batch") {  // whose statistics couple rows
    for (const char* positional : {"none", "concat"}) {
      c = larnn_case(norm, std::string("resets, positional ") + positional,
                     {{"positional", word(positional)}, {"layers", 2.0}});
      c.resets = c.lengths = true;
      c.entries = 3;
      c.masks = {"hidden", "attn"};
      cases.push_back(c);
    }
  }
  c = larnn_case(norm, "replayed state", {{"layers", 2.0}, {"stacking", word("replay")}});
  c.entries = 2;
  cases.push_back(c);
}

/// Set number `i` of a fixed random choice among all options at once.
inline CellCase larnn_mixture(const std::string& norm, int i) {
  uint64_t draws = 0;
  const auto pick = [&](int choices) {
    return static_cast<int>(choices *
                            uniform_at(31, RandomUse::kCaller, static_cast<uint32_t>(i), draws++));
  };
  const auto choose = [&](const std::vector<std::string>& from) {
    return from[static_cast<size_t>(pick(static_cast<int>(from.size())))];
  };
  CellCase c = larnn_case(norm, "mixture " + std::to_string(i));
  c.spec.set("heads", choose({"one", "two"}) == "one" ? 1.0 : 3.0);
  c.spec.set("window", 1.0 + pick(7));
  c.spec.set("mode", choose({"residual", "layer"}));
  c.spec.set("attentionTarget", choose({"all", "candidate"}));
  c.spec.set("queryActivation", choose({"elu", "none"}));
  c.spec.set("attentionActivation", choose({"elu", "none"}));
  c.spec.set("keyValueNorm", choose({"separate", "shared"}));
  c.spec.set("hiddenDropoutScope", choose({"state", "output"}));
  for (const char* site : {"keyValueActivation", "bnAttention", "bnPre", "bnCell", "bnHidden"}) {
    c.spec.set(site, pick(3) > 0);
  }
  const std::string positional = choose({"none", "concat", "add"});
  c.spec.set("positional", positional);
  c.spec.set("positionalOffset", static_cast<double>(pick(2)));
  c.spec.set("stacking", choose({"stack", "residual", "replay", "replayResidual"}));
  c.spec.set("layers", 1.0 + pick(2));
  c.spec.set("inputSize", 6.0);
  c.spec.set("inputProduct", pick(3) == 0);
  c.training = pick(4) > 0;
  c.entries = pick(2) * (1 + pick(c.spec.integer("window", 1, 1, 8)));
  c.lengths = !replays(c.spec) && pick(2) == 0;  // replays are not defined with lengths
  for (const char* mask : {"hidden", "attn", "pos"}) {
    if (pick(3) == 0 && (mask[0] != 'p' || positional != "none")) c.masks.push_back(mask);
  }
  return c;
}

constexpr int kMixtures = 40;

/// All of them. Without normalisation the norm switches change nothing, so those sets repeat.
inline std::vector<CellCase> cell_cases() {
  std::vector<CellCase> cases;
  add_lstm_cases(cases);
  add_lstm_extensions(cases);
  add_rnn_cases(cases);
  add_rra_cases(cases);
  add_gru_cases(cases);
  add_scornn_cases(cases);
  add_enrnn_cases(cases);
  add_exprnn_cases(cases);
  add_scurnn_cases(cases);
  for (const char* norm : {"none", "layer", "batch"}) {
    const std::vector<CellCase> singles = larnn_singles(norm);
    cases.insert(cases.end(), singles.begin(), singles.end());
    add_larnn_calls(norm, cases);
    for (int i = 0; i < kMixtures; ++i) cases.push_back(larnn_mixture(norm, i));
  }
  return cases;
}

}  // namespace lookback
