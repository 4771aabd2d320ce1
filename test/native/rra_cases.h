/// The cases of RRA: every option by itself, and its windows.
#pragma once

#include "native/cell_case.h"

namespace lookback {

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
      c.name += " that is given";
      c.entries = 1;
      cases.push_back(c);
      c.name = begin + attention + ", long window";
      c.entries = 0;
      c.name += ", late";
      c.spec.set("lag", 4.0);
      c.spec.set("includeInitial", true);
      cases.push_back(c);
    }
  }
  add("one entry", {{"K", 1.0}, {"normalize", word("sum")}});
  // Scores of thousands, whose exponentials no number holds.
  add("large scores", {{"attention", word("dotPerStep")}, {"K", 6.0}, {"dotScale", 1e4}});
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
  for (const char* attention : {"gate", "softmaxPerStep", "dotPerStep"}) {
    const CellCase base = rra_case(attention, {{"attention", word(attention)}});
    add_extensions(base, {"h", "c"}, cases);
    add_trained_starts(base, cases);
    CellCase c = base;
    c.name += ", initial state";
    c.spec.set("includeInitial", true);
    add_trained_starts(c, cases);
  }
  add_extensions(rra_case("base rnn", {{"base", word("rnn")}}), {"h"}, cases);
  add_extensions(rra_case("cell", {{"inject", word("cell")}, {"includeInitial", true}}), {"h", "c"},
                 cases);
  add_rra_windows(cases);
}

}  // namespace lookback
