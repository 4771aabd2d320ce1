/// Batches whose rows meet in statistics and that the blocks of a cluster divide among them: beside
/// the CPU, up to rounding, and block beside block, to the bit.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "parity/drivers.h"

namespace lookback {

/// Thirteen rows: shares of 7 and 6; of 4, 4, 4 and 1; six of 2, one of 1, and one without any.
constexpr int64_t kSharedRows = 13;

inline std::vector<CellCase> shared_batches() {
  std::vector<CellCase> cases = {
      simple_case("bnlstm", "terms", {{"tMax", 6.0}}),
      simple_case("bnlstm", "joint", {{"tMax", 6.0}, {"terms", word("joint")}}),
      simple_case("bnlstm", "sequences", {{"tMax", 6.0}, {"inputStats", word("sequence")}}),
      larnn_case("batch", "shares"),
      larnn_case("batch", "shares, shared entry norm", {{"keyValueNorm", word("shared")}}),
      larnn_case("batch", "shares, per step", {{"bnStats", word("perStep")}, {"bnMaxSteps", 4.0}}),
  };
  for (CellCase& c : cases) c.entries = 1;
  // Rows that end: the last block's only one of four blocks has no step at all.
  for (const size_t i : {0, 1, 3}) {
    cases.push_back(cases[i]);
    cases.back().name += ", lengths";
    cases.back().lengths = true;
  }
  cases.push_back(cases[3]);
  cases.back().name += ", masks";
  cases.back().masks = {"input", "hidden", "attn"};
  for (const size_t i : {0, 3}) {
    cases.push_back(cases[i]);
    cases.back().name += ", evaluation";
    cases.back().training = false;
  }
  for (CellCase& c : cases) c.batch = kSharedRows;
  return cases;
}

inline BlockChoice shares_of(int blocks) { return {BlockChoice::kResident, 0, -1, blocks}; }

/// Forward and backward, beside the CPU.
inline void check_batch_shares(const CudaTable& table) {
  Worst floats, doubles;
  for (const CellCase& c : shared_batches()) {
    CpuRuntime runtime(1);
    const auto cpu = make_cpu_recurrence<double>(runtime, c.cell, c.spec);
    CellData data = make_data(c, *cpu);
    round_to_float(data);
    const CellResult<double> reference = run_cell(*cpu, data);
    const Allowance allowance(data, reference,
                              [&](const CellData& changed) { return run_cell(*cpu, changed); });
    for (const int blocks : {2, 4, 8}) {
      const std::string name = text(blocks, " shares");
      const std::string plan = plan_of<double>(table, c, shares_of(blocks));
      const std::string told = text(blocks, " blocks of ", (kSharedRows + blocks - 1) / blocks);
      CHECK_EQUAL(plan.find(told) != std::string::npos, c.training);
      CHECK_EQUAL(plan.find("in one cluster") != std::string::npos, c.training);
      compare(c, name, allowance, reference,
              run_on_device<double>(table, c, data, shares_of(blocks)), doubles);
      compare(c, name, allowance, reference,
              run_on_device<float>(table, c, data, shares_of(blocks)), floats);
    }
  }
  std::cout << "     float: worst " << floats.ratio << " of its bound: " << floats.where << "\n"
            << "     double: worst " << doubles.ratio << " of its bound: " << doubles.where << "\n";
}

/// Copies the first row of [batch, ...] over the last one.
inline void repeat_first_row(std::vector<double>& numbers) {
  const size_t size = numbers.size() / kSharedRows;
  std::copy_n(numbers.begin(), size, numbers.end() - static_cast<ptrdiff_t>(size));
}

/// All blocks have the statistics to the bit: a row of the last one that is a row of the first one
/// again comes to the same numbers.
template <class S>
void check_shares_agree(const CudaTable& table) {
  for (CellCase c : shared_batches()) {
    if (c.lengths || !c.masks.empty() || !c.training) continue;
    c.entries = 0;
    CpuRuntime runtime(1);
    CellData data = make_data(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
    repeat_first_row(data.inputs.at("x"));
    data.upstream = {{"y", data.upstream.at("y")}};
    repeat_first_row(data.upstream.at("y"));
    for (const int blocks : {2, 4, 8}) {
      const CellResult<S> result = run_on_device<S>(table, c, data, shares_of(blocks));
      for (const std::vector<S>& numbers : {result.outputs.at("y"), result.gradients.at("x")}) {
        const auto size = static_cast<ptrdiff_t>(numbers.size() / kSharedRows);
        CHECK(std::equal(numbers.begin(), numbers.begin() + size, numbers.end() - size));
      }
    }
  }
}

/// Shares of a batch can have their weights in registers too.
inline void check_held_shares(const CudaTable& table) {
  CellCase c =
      simple_case("bnlstm", "held", {{"units", 8.0}, {"tMax", 6.0}, {"terms", word("joint")}});
  c.batch = kSharedRows;
  CpuRuntime runtime(1);
  const CellData data = make_data(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
  BlockChoice held = shares_of(4), shared = held;
  shared.hold = false;
  CHECK(plan_of<float>(table, c, held).find("weights in registers") != std::string::npos);
  check_same(c.name, run_on_device<float>(table, c, data, held),
             run_on_device<float>(table, c, data, shared));
}

}  // namespace lookback
