/// Calls of cells that the generic tests go through: option sets, sizes, and which optional inputs
/// are given. A new cell of the registry adds its sets here; `every_cell_has_cases` fails until it
/// does.
#pragma once

#include <string>
#include <vector>

#include "native/cell_case.h"
#include "native/larnn_cases.h"
#include "native/rra_cases.h"

namespace lookback {

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

/// What the LSTM has in common with the cells below.
inline void add_lstm_extensions(std::vector<CellCase>& cases) {
  add_extensions(lstm_case("default"), {"h", "c"}, cases);
  add_trained_starts(lstm_case("default"), cases);
  CellCase resets = lstm_case("resets, trained start", {{"initialState", word("trained")}});
  resets.resets = true;
  cases.push_back(resets);
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
  add_trained_starts(simple_case("rnn", "default"), cases);
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
  add_trained_starts(simple_case("gru", "default"), cases);
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
  add_trained_starts(base, cases);
  add_extensions(base, {"h"}, cases);
  add_extensions(
      simple_case("scornn", "left, tanh", {{"side", word("left")}, {"activation", word("tanh")}}),
      {"h"}, cases);
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
  add_extensions(base, {"h"}, cases);
  add_trained_starts(base, cases);
  add_extensions(enrnn_case("uncoupled", {{"coupled", false}, {"side", word("left")}}), {"h"},
                 cases);
  cases.push_back(enrnn_case("small blocks", {{"longUnits", 1.0}, {"shortUnits", 1.0}}));
}

inline void add_exprnn_cases(std::vector<CellCase>& cases) {
  const CellCase base = simple_case("exprnn", "default");
  cases.push_back(base);
  add_plain_calls(base, cases);
  cases.push_back(simple_case("exprnn", "cayley", {{"map", word("cayley")}}));
  cases.push_back(simple_case("exprnn", "dynamic", {{"mode", word("dynamic")}}));
  add_trained_starts(base, cases);
  add_extensions(base, {"h"}, cases);
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
  add_extensions(base, {"h"}, cases);
  cases.push_back(simple_case("scurnn", "one unit", {{"units", 1.0}}));
}

inline void add_bnlstm_cases(std::vector<CellCase>& cases) {
  const CellCase base = simple_case("bnlstm", "default", {{"tMax", 6.0}});
  const std::vector<std::pair<std::string, Options>> sets = {
      {"joint", {{"terms", word("joint")}}},
      {"no output norm", {{"bnOutput", false}}},
      {"joint, no output norm", {{"terms", word("joint")}, {"bnOutput", false}}},
      {"order gfio", {{"gateOrder", word("gfio")}}},
      {"statistics of sequences", {{"inputStats", word("sequence")}}},
      {"large epsilon", {{"eps", 0.01}, {"momentum", 0.3}}},
      {"trained start", {{"initialState", word("trained")}}},
      {"fewer statistics than steps", {{"tMax", 3.0}}}};
  const auto add = [&](CellCase c, const std::string& name) {
    c.name += ", " + name;
    cases.push_back(c);
  };
  cases.push_back(base);
  for (const auto& [name, options] : sets) {
    CellCase c = base;
    for (const auto& [key, value] : options) c.spec.set(key, value);
    add(c, name);
    c.entries = 1;
    c.training = false;
    add(c, name + ", evaluation, state");
    c.training = true;
    c.batch = 37;
    add(c, name + ", state, several tiles");
  }
  CellCase c = base;
  c.lengths = true;
  c.batch = 11;
  add(c, "lengths");
  c.training = false;
  c.hold = true;
  add(c, "lengths and mask, evaluation");
  c = base;
  c.spec.set("inputStats", word("sequence"));
  c.spec.set("dropoutMask", word("step"));
  c.masks = {"input", "recurrent", "zoneout_h", "zoneout_c"};
  add(c, "statistics of sequences, all masks");
  c = base;
  c.batch = 7;
  add_extensions(c, {"h", "c"}, cases);
}

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
  add_bnlstm_cases(cases);
  for (const char* norm : {"none", "layer", "batch"}) {
    const std::vector<CellCase> singles = larnn_singles(norm);
    cases.insert(cases.end(), singles.begin(), singles.end());
    add_larnn_calls(norm, cases);
    add_larnn_extensions(norm, cases);
    for (int i = 0; i < kMixtures; ++i) cases.push_back(larnn_mixture(norm, i));
  }
  return cases;
}

}  // namespace lookback
