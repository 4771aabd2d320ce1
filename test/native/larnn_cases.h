/// The cases of LARNN, which has more options than all other cells together.
#pragma once

#include "base/rng.h"
#include "native/cell_case.h"

namespace lookback {

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
  // More steps than a driver may keep of what backward makes again.
  c = larnn_case(norm, "long", {{"positional", word("concat")}});
  c.steps = 2 * 16 + 5;
  c.lengths = true;
  c.entries = 2;
  cases.push_back(c);
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

/// Dropout on x and h, and zoneout, which LARNN does within its step (cells/extensions.h).
inline void add_larnn_extensions(const std::string& norm, std::vector<CellCase>& cases) {
  const Options around = {{"dropoutMask", word("step")}, {"zoneout", 0.2}, {"zoneoutCell", 0.35}};
  for (const char* scope : {"state", "output"}) {
    CellCase c = larnn_case(norm, std::string("masks around it, dropout of ") + scope, around);
    c.spec.set("hiddenDropoutScope", word(scope));
    c.masks = {"input", "recurrent", "zoneout_h", "zoneout_c"};
    cases.push_back(c);
    c.name += " drawn, state, lengths";
    c.masks.push_back("hidden");
    c.entries = 2;
    c.lengths = true;
    cases.push_back(c);
    c.name += ", evaluation";
    c.masks.clear();
    c.training = false;
    cases.push_back(c);
  }
  for (const char* positional : {"none", "concat"}) {
    CellCase c = larnn_case(norm, std::string("zoneout, positional ") + positional,
                            {{"zoneout", 0.2}, {"zoneoutCell", 0.35}, {"inputSize", 6.0}});
    c.spec.set("positional", word(positional));
    c.spec.set("layers", 2.0);
    c.spec.set("inputProduct", true);
    c.masks = {"input", "zoneout_h", "zoneout_c", "pos"};
    if (positional == std::string("none")) c.masks.pop_back();
    cases.push_back(c);
    c.name += ", replay";
    c.spec.set("stacking", word("replayResidual"));
    cases.push_back(c);
  }
  add_trained_starts(larnn_case(norm, "default"), cases);
  add_trained_starts(larnn_case(norm, "positions", {{"positional", word("add")}, {"layers", 2.0}}),
                     cases);
  cases.push_back(larnn_case(norm, "replay, trained start",
                             {{"layers", 2.0},
                              {"inputSize", 6.0},
                              {"stacking", word("replayResidual")},
                              {"initialState", word("trained")}}));
  for (const char* kind : {"sequence", "step"}) {
    CellCase c = larnn_case(norm, std::string("drawn once a ") + kind,
                            {{"dropout", 0.3}, {"recurrentDropout", 0.25}, {"zoneout", 0.2}});
    c.spec.set("dropoutMask", word(kind));
    c.drawn = c.lengths = true;
    c.batch = 7;
    cases.push_back(c);
  }
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

}  // namespace lookback
