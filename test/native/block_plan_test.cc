/// The model of sizes that chooses how a cell's loop runs on a GPU.
#include "backend/cuda/block_plan.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>

#include "backend/cell_host.h"
#include "backend/cuda/block_loop.h"
#include "backend/cuda/block_times.h"
#include "cells/registry.h"
#include "native/cell_cases.h"
#include "native/check.h"

namespace lookback {
namespace {

constexpr BlockLimits kLarge = {132, 227 << 10};
constexpr BlockLimits kClusters = {132, 227 << 10, 8};
constexpr BlockLimits kEndless = {132, int64_t{1} << 30};

struct Reference {
  const char* name;
  const char* cell;
  Options options;
  BlockShape shape;
};

BlockPlan plan_of(const Reference& r, const BlockLimits& limits = kLarge) {
  const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
  const BlockLayout layout(cell.declaration);
  return plan_blocks(layout, r.shape, limits);
}

std::vector<Reference> references() {
  const auto gated = [](double inputs, double units) {
    return Options{{"inputSize", inputs}, {"units", units}};
  };
  Options window = gated(9, 32);
  window.push_back({"heads", 4.0});
  window.push_back({"window", 16.0});
  return {{"lstm HAR", "lstm", gated(9, 32), {64, 128, true}},
          {"lstm HAR, large", "lstm", gated(9, 128), {1024, 128, true}},
          {"lstm MNIST", "lstm", gated(1, 128), {128, 784, true}},
          {"lstm PTB", "lstm", gated(50, 512), {128, 150, true}},
          {"larnn HAR", "larnn", window, {256, 128, true}}};
}

TEST(small_cells_stay_on_chip_and_large_ones_go_step_by_step) {
  for (const Reference& r : references()) {
    const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
    std::cout << "     " << r.name << ": " << plan_of(r).explain(cell.declaration, r.shape) << "\n";
  }
  const std::vector<Reference> all = references();
  CHECK(plan_of(all[0]).driver == BlockDriver::kResident);
  CHECK(plan_of(all[3]).driver == BlockDriver::kStepwise);
  const BlockPlan small = plan_of(all[0]);
  CHECK_EQUAL(small.rows, 1);
  CHECK(small.forward.held && small.backward.held);
  CHECK_EQUAL(plan_of(all[1]).rows, 8);
  CHECK(!plan_of(all[1]).forward.held);
  // The ring of projected keys and values, and their gradients, are on chip.
  const CellInstance larnn = instantiate_cell("larnn", spec_of(all[4].options));
  const BlockPlan plan = plan_of(all[4]);
  for (size_t s = 0; s < larnn.declaration.slots.size(); ++s) {
    if (larnn.declaration.slots[s].history == 16) CHECK(plan.backward.slots[s] >= 0);
  }
}

TEST(a_plan_never_takes_more_shared_memory_than_there_is) {
  for (const Reference& r : references()) {
    for (const int64_t bytes : {0, 1000, 17000, 48 << 10, 227 << 10}) {
      for (const int most : {1, 8}) {
        const BlockPlan plan = plan_of(r, {132, bytes, most});
        CHECK(int64_t{plan.forward.numbers} * 4 <= bytes);
        CHECK(int64_t{plan.backward.numbers} * 4 <= bytes);
      }
    }
  }
}

/// With the cluster that the model chooses, 1 for none; 0: it goes step by step.
struct ClusterReference {
  Reference reference;
  int cluster, rows;
};

std::vector<ClusterReference> cluster_references() {
  const auto lstm = [](double units, int64_t batch, int64_t steps, double inputs = 9) {
    return Reference{
        "lstm", "lstm", {{"inputSize", inputs}, {"units", units}}, {batch, steps, true}};
  };
  const auto larnn = [](double units, int64_t batch, const char* normalization = "none") {
    return Reference{"larnn",
                     "larnn",
                     {{"inputSize", 9.0},
                      {"units", units},
                      {"heads", 8.0},
                      {"window", 16.0},
                      {"normalization", word(normalization)}},
                     {batch, 128, true}};
  };
  return {{lstm(32, 64, 128), 1, 1},       {lstm(96, 64, 128), 1, 1},
          {lstm(128, 64, 128), 2, 1},      {lstm(128, 128, 784, 1), 2, 2},
          {lstm(128, 1024, 128), 1, 8},    {lstm(170, 128, 784, 1), 4, 4},
          {lstm(256, 64, 128), 8, 4},      {lstm(512, 128, 150, 50), 0, 1},
          {larnn(32, 64), 1, 1},           {larnn(64, 64), 1, 1},
          {larnn(80, 64), 2, 1},           {larnn(128, 64), 4, 2},
          {larnn(128, 64, "layer"), 4, 2}, {larnn(64, 64, "batch"), 1, 8},
          {larnn(128, 64, "batch"), 0, 1}};
}

int64_t weights_of(const BlockLayout& layout, const BlockShape& shape) {
  return plan_blocks(layout, shape, kEndless).forward.weight_numbers;
}

TEST(weights_beyond_one_block_are_spread_over_a_cluster) {
  for (const auto& [r, cluster, rows] : cluster_references()) {
    const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
    BlockShape shape = r.shape;
    shape.coupled = !cell.declaration.sites.empty();
    const BlockLayout layout(cell.declaration);
    const BlockPlan plan = plan_blocks(layout, shape, kClusters);
    const BlockPlan single = plan_blocks(layout, shape, kLarge);
    const std::string words = plan.explain(cell.declaration, shape);
    std::cout << "     " << std::get<double>(r.options[1].second) << " units: " << words << "\n";
    CHECK(plan.driver == (cluster > 0 ? BlockDriver::kResident : BlockDriver::kStepwise));
    const int blocks = std::max(cluster, 1);
    CHECK_EQUAL(plan.cluster, blocks);
    CHECK_EQUAL(plan.rows, rows);
    CHECK_EQUAL(single.cluster, 1);
    const std::string told =
        text(plan.rows == 1 ? " row" : " rows", ", each ", cluster, " blocks of ");
    CHECK_EQUAL(words.find(told) != std::string::npos, cluster > 1);
    if (cluster < 2) continue;
    // What a single block has no room for.
    CHECK(single.backward.weight_numbers_shared < single.backward.weight_numbers ||
          single.driver == BlockDriver::kStepwise);
    CHECK(10 * plan.forward.weight_numbers * cluster < 11 * weights_of(layout, shape));
    CHECK(int64_t{plan.backward.numbers} * 4 <= kClusters.shared_bytes);
    if (r.cell == std::string("lstm"))
      CHECK_EQUAL(plan.backward.weight_numbers_shared, plan.backward.weight_numbers);
  }
}

/// What programs write is in every block's shared memory, or there is no cluster.
TEST(a_cluster_has_all_columns_in_shared_memory) {
  for (const int64_t bytes : {17000, 20000, 30000, 60000}) {
    for (const Reference& r : references()) {
      block_choice().driver = BlockChoice::kResident;
      block_choice().cluster = 4;
      const BlockPlan plan = plan_of(r, {132, bytes, 8});
      block_choice() = BlockChoice();
      const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
      const Declaration& d = cell.declaration;
      for (size_t s = 0; s < d.slots.size() && plan.cluster > 1; ++s) {
        const bool outside = static_cast<int>(s) == d.x.id || static_cast<int>(s) == d.dx.id;
        CHECK(outside || plan.backward.slots[s] >= 0);
      }
    }
  }
}

TEST(a_cluster_is_no_larger_than_the_device) {
  const Reference r = cluster_references()[6].reference;
  CHECK_EQUAL(plan_of(r, kClusters).cluster, 8);
  CHECK_EQUAL(plan_of(r, {132, 227 << 10, 4}).cluster, 4);
  block_choice().driver = BlockChoice::kResident;
  CHECK(plan_of(r, {4, 227 << 10, 8}).cluster <= 4);
  CHECK_EQUAL(plan_of(r, {1, 227 << 10, 8}).cluster, 1);
  block_choice() = BlockChoice();
}

TEST(blocks_have_the_same_rows_where_those_do_not_meet_and_shares_where_they_do) {
  const Options options = {{"inputSize", 3.0}, {"units", 5.0}, {"tMax", 6.0}};
  for (const bool coupled : {false, true}) {
    Reference r = {"bnlstm", "bnlstm", options, {37, 6, true}};
    r.shape.coupled = coupled;
    block_choice().driver = BlockChoice::kResident;
    block_choice().cluster = 2;
    const BlockPlan plan = plan_of(r, kClusters);
    block_choice() = BlockChoice();
    CHECK_EQUAL(plan.cluster, coupled ? 1 : 2);
    CHECK_EQUAL(plan.shares, coupled ? 2 : 1);
    CHECK_EQUAL(plan.together(), 2);
    if (!coupled) continue;
    CHECK_EQUAL(plan.blocks, 2);
    CHECK_EQUAL(plan.rows, 19);
    CHECK_EQUAL(plan.padded, 38);
  }
}

/// With the blocks that divide the batch, 0: it goes step by step.
struct ShareReference {
  Reference reference;
  int shares;
};

std::vector<ShareReference> share_references() {
  const auto make = [](const char* cell, const Options& more, double units, int64_t batch) {
    Options options = {{"inputSize", 9.0}, {"units", units}};
    options.insert(options.end(), more.begin(), more.end());
    return Reference{cell, cell, options, {batch, 128, true, true}};
  };
  const auto bnlstm = [&](double units, int64_t batch) {
    return make("bnlstm", {{"tMax", 128.0}}, units, batch);
  };
  const auto larnn = [&](double units, int64_t batch) {
    return make("larnn", {{"heads", 8.0}, {"window", 16.0}, {"normalization", word("batch")}},
                units, batch);
  };
  return {{bnlstm(32, 16), 1}, {bnlstm(32, 64), 4},  {bnlstm(32, 256), 8}, {bnlstm(64, 64), 4},
          {bnlstm(100, 4), 1}, {bnlstm(100, 64), 8}, {bnlstm(128, 64), 8}, {bnlstm(1000, 64), 0},
          {larnn(32, 12), 1},  {larnn(32, 64), 8},   {larnn(32, 128), 8},  {larnn(64, 16), 4},
          {larnn(64, 64), 8},  {larnn(128, 16), 8},  {larnn(128, 64), 0}};
}

TEST(a_batch_whose_rows_meet_is_divided_where_one_block_has_no_room_or_is_slow) {
  for (const auto& [r, shares] : share_references()) {
    const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
    const BlockPlan plan = plan_of(r, kClusters), single = plan_of(r);
    const std::string words = plan.explain(cell.declaration, r.shape);
    std::cout << "     " << r.name << ", " << std::get<double>(r.options[1].second) << " units, "
              << r.shape.batch << " rows: " << words << "\n       one block: " << single.why
              << "\n";
    CHECK(plan.driver == (shares > 0 ? BlockDriver::kResident : BlockDriver::kStepwise));
    const int blocks = std::max(shares, 1);
    CHECK_EQUAL(plan.shares, blocks);
    CHECK_EQUAL(plan.cluster, 1);
    CHECK_EQUAL(single.shares, 1);
    const int64_t rows = (r.shape.batch + plan.shares - 1) / plan.shares;
    const std::string told = text(shares, " blocks of ", rows, rows == 1 ? " row" : " rows",
                                  " and ", plan.threads, " threads in one cluster; ");
    CHECK_EQUAL(words.find(told) != std::string::npos, shares > 1);
    if (shares < 2) continue;
    CHECK_EQUAL(plan.blocks, shares);
    CHECK_EQUAL(plan.rows, rows);
    CHECK(int64_t{plan.backward.numbers} * 4 <= kClusters.shared_bytes);
  }
}

/// The number behind `word` in what a plan says of the model.
double told_time(const BlockPlan& plan, const std::string& word) {
  return std::stod(plan.why.substr(plan.why.find(word + " ") + word.size() + 1));
}

/// LARNN as it was published, whose norms of a window take statistics over 38 numbers of each row:
/// step by step 32 threads share each feature, where eight blocks with a share of the batch each
/// have slower products besides.
TEST(statistics_over_a_window_go_to_many_threads_step_by_step) {
  Options options = {{"inputSize", 81.0}, {"units", 81.0}, {"heads", 27.0}, {"window", 38.0}};
  options.push_back({"normalization", word("batch")});
  const Reference r = {"larnn", "larnn", options, {256, 128, true, true}};
  const BlockPlan plan = plan_of(r, kClusters), single = plan_of(r);
  std::cout << "     larnn as published: " << plan.why << "; one block: " << single.why << "\n";
  CHECK(plan.driver == BlockDriver::kStepwise);
  CHECK(single.driver == BlockDriver::kStepwise);
  CHECK(told_time(plan, "stepwise") < 150);
  CHECK(told_time(plan, "resident") > 300);
  CHECK(told_time(single, "resident") > 2000);
  const CellInstance cell = instantiate_cell(r.cell, spec_of(r.options));
  std::vector<int> entries;
  for (const BatchSiteInfo& site : cell.declaration.sites) entries.push_back(site.entries);
  CHECK(entries == std::vector<int>({38, 38, 1, 1, 1, 1}));
}

/// Of a launch with 32 threads to a feature and a block for eight of those.
TEST(statistics_step_by_step_take_as_long_as_the_busiest_thread_or_the_bytes) {
  const auto time = [](double units, int64_t batch, int multiprocessors = 132, int64_t bytes = 4) {
    const Options options = {{"inputSize", 9.0}, {"units", units}, {"tMax", 128.0}};
    const CellInstance cell = instantiate_cell("bnlstm", spec_of(options));
    return stepwise_statistics_time(cell.declaration, {batch, 128, true, true, 1, bytes},
                                    multiprocessors);
  };
  // A row or two of a thread.
  CHECK_EQUAL(time(32, 1), time(32, 16));
  CHECK(time(32, 40) > time(32, 16));
  CHECK_EQUAL(time(32, 40), time(32, 48));
  // Sites of 128, 128 and 32 features.
  CHECK_EQUAL(time(32, 16, 16), time(32, 16));
  CHECK(time(32, 16, 15) > time(32, 16));
  CHECK_EQUAL(std::lround(time(32, 16, 1) / time(32, 16)), 12);
  // The bytes of many rows.
  CHECK_EQUAL(time(32, 16, 132, 8), time(32, 16));
  CHECK(time(32, 1024, 132, 8) > 1.4 * time(32, 1024));
}

/// What the blocks of a cluster say of their sums is read in turn, feature by feature.
TEST(more_blocks_have_more_to_read) {
  const auto step = [](int shares) {
    block_choice().driver = BlockChoice::kResident;
    block_choice().cluster = shares;
    const BlockPlan plan = plan_of(share_references()[1].reference, kClusters);
    block_choice() = BlockChoice();
    CHECK_EQUAL(plan.shares, shares);
    return told_time(plan, "resident");
  };
  CHECK(step(4) < step(2));
  CHECK(step(4) < step(8));
}

/// Columns that do not fit one block are worth a cluster of any size, a step that is a little
/// faster is not.
TEST(shares_of_a_batch_are_the_fewest_with_room_unless_more_are_much_faster) {
  const auto shares = [](const Reference& r, BlockLimits limits) {
    return plan_of(r, limits).shares;
  };
  const std::vector<ShareReference> all = share_references();
  Reference r = all[8].reference;  // LARNN of 32 units and 12 rows
  CHECK_EQUAL(shares(r, {132, 227 << 10, 2}), 1);
  CHECK_EQUAL(shares(r, {132, 160 << 10, 2}), 2);
  CHECK_EQUAL(shares(r, {1, 160 << 10, 8}), 1);
  CHECK_EQUAL(shares(all[9].reference, {4, 227 << 10, 8}), 4);  // of 64 rows
  r.shape.keep = false;                                         // without gradients there is room
  CHECK_EQUAL(shares(r, {132, 160 << 10, 2}), 1);
}

TEST(blocks_that_cannot_meet_have_no_shares) {
  Reference r = share_references()[1].reference;
  block_choice().driver = BlockChoice::kResident;
  block_choice().cluster = 4;
  CHECK_EQUAL(plan_of(r, {132, 48 << 10, 8}).shares, 4);
  CHECK_EQUAL(plan_of(r, {132, 48 << 10, 2}).shares, 1);
  CHECK_EQUAL(plan_of(r, {132, 8 << 10, 8}).shares, 1);
  block_choice().driver = BlockChoice::kStepwise;
  CHECK_EQUAL(plan_of(r, kClusters).together(), 1);
  block_choice() = BlockChoice();
}

/// Of a GPU that is here, and whose cuBLAS is known.
TEST(a_plan_says_what_forms_the_products_over_all_steps) {
  GpuSize gpu = {"GPU", 132, 227 << 10, 8};
  const auto told = [&](double units, const PlanCall& call) {
    const CellInstance cell =
        instantiate_cell("lstm", spec_of({{"inputSize", 9.0}, {"units", units}}));
    return plan_on_gpu(cell.declaration, call, gpu, 4).text;
  };
  const auto ends = [](const std::string& words, const std::string& end) {
    const std::string whole = "; " + end;
    if (words.size() > whole.size() &&
        words.compare(words.size() - whole.size(), whole.size(), whole) == 0)
      return;
    check::fail(__FILE__, __LINE__, words);
  };
  CHECK(told(32, {64, 128, true, {}}).find("products") == std::string::npos);
  gpu.cublas = {"libcublas.so", "13.1.2", ""};
  ends(told(32, {64, 128, true, {}}), "products over all steps: cuBLAS 13.1.2");
  ends(told(32, {2, 128, true, {}}), "products over all steps: cuBLAS 13.1.2");
  // 128 outputs, 32 units, 255 steps: less than 2^20.
  ends(told(32, {1, 255, true, {}}),
       "products over all steps: our own, too small for cuBLAS 13.1.2");
  ends(told(512, {128, 150, true, {}}), "products of a step and over all steps: cuBLAS 13.1.2");
  ends(told(512, {128, 150, false, {}}),
       "products over all steps: our own, as always without training");
  gpu.cublas.emplace();
  ends(told(32, {1, 255, true, {}}), "products over all steps: our own, too small for cuBLAS");
  ends(told(32, {64, 128, true, {}}),
       "products over all steps: cuBLAS is looked for when training begins");
  gpu.cublas = {"", "", "it is off"};
  ends(told(32, {64, 128, true, {}}),
       "products over all steps: our own, cuBLAS is not used: it is off");
}

TEST(weights_lie_in_registers_or_in_shared_memory) {
  const auto held = [](const char* cell, double units, int64_t bytes = 4) {
    const BlockPlan plan = plan_of(
        {"held", cell, {{"inputSize", 9.0}, {"units", units}}, {64, 128, true, false, 1, bytes}});
    for (const SharedPlan* each : {&plan.forward, &plan.backward}) {
      CHECK(each->weight_numbers > 0);
      CHECK_EQUAL(each->weight_numbers_shared, each->held ? 0 : each->weight_numbers);
    }
    return plan.forward.held && plan.backward.held;
  };
  // 4 H outputs of 256 threads, 16 quads of a thread.
  CHECK(held("lstm", 32) && held("lstm", 48) && held("lstm", 64));
  CHECK(!held("lstm", 68) && !held("lstm", 30));
  CHECK(!held("lstm", 64, 8));
  CHECK(held("scornn", 128) && !held("scornn", 132));
  CHECK(held("rnn", 64) && held("exprnn", 64) && held("scurnn", 64) && held("rra", 64));
  CHECK(!held("gru", 32));
  block_choice().hold = false;
  CHECK(!held("lstm", 64));
  block_choice() = BlockChoice();
}

/// Where a plan says so there are kernels for it.
template <class... Types>
void check_held(CellList<Types...>) {
  const bool made[] = {kHoldsWeights<Types, float>...};
  bool seen[sizeof...(Types)] = {};
  for (const CellCase& c : cell_cases()) {
    const CellInstance cell = instantiate_cell(c.cell, c.spec);
    seen[cell.index] = true;
    if (cell.declaration.linears.size() == 1) CHECK(made[cell.index]);
  }
  for (const bool each : seen) CHECK(each);
}

TEST(every_cell_with_one_product_can_hold_its_weights) { check_held(Cells()); }

TEST(rows_that_meet_share_a_block) {
  Reference r = {
      "bnlstm", "bnlstm", {{"inputSize", 3.0}, {"units", 5.0}, {"tMax", 6.0}}, {37, 6, true}};
  r.shape.coupled = true;
  block_choice().driver = BlockChoice::kResident;
  block_choice().rows = 2;
  const BlockPlan plan = plan_of(r);
  block_choice() = BlockChoice();
  CHECK_EQUAL(plan.blocks, 1);
  CHECK_EQUAL(plan.rows, 37);
}

}  // namespace
}  // namespace lookback
