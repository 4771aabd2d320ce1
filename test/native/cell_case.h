/// One call of a cell that the generic tests go through, and ways to vary it.
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

/// States that start from parameters, where the caller gives none.
inline void add_trained_starts(const CellCase& base, std::vector<CellCase>& cases) {
  CellCase c = base;
  c.name = base.name + ", trained start";
  c.spec.set("initialState", word("trained"));
  cases.push_back(c);
  c.name += ", lengths";
  c.lengths = true;
  c.batch = 11;
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
  add_trained_starts(base, cases);
}

}  // namespace lookback
