/// The GPU's kernel bodies on the host compute what the CPU computes, for every cell and
/// driver.
#include <cstdlib>

#include "backend/cuda/emulated_session.h"
#include "parity/batch_shares.h"
#include "parity/drivers.h"

namespace lookback {
namespace {

TEST(drivers_agree_with_the_cpu) {
  const char* const only = std::getenv("PARITY_ONLY");
  // In float every driver has its turn, so no host code is left that might touch device memory.
  check_drivers(emulated_cuda_table(), kEvery, only != nullptr ? only : "", driver_choices(),
                &emulated_open_table());
}

TEST(clusters_with_wide_products_give_the_bits_of_one_block) {
  check_wide_clusters(emulated_cuda_table());
}

TEST(weights_in_registers_give_the_same_bits) { check_held(emulated_cuda_table()); }

TEST(blocks_divide_a_batch_whose_rows_meet) { check_batch_shares(emulated_cuda_table()); }

TEST(blocks_with_shares_of_a_batch_have_the_same_statistics) {
  check_shares_agree<double>(emulated_cuda_table());
  check_shares_agree<float>(emulated_cuda_table());
}

TEST(shares_of_a_batch_may_have_weights_in_registers) { check_held_shares(emulated_cuda_table()); }

/// A device may have clusters and still no room for one of a kernel's size.
TEST(a_cluster_that_the_device_has_no_room_for_is_not_chosen) {
  CellCase lstm = lstm_case("cluster"), batch = shared_batches().front();
  for (const CellCase& c : {lstm, batch}) {
    CpuRuntime runtime(1);
    const CellData data = make_data(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
    const BlockChoice four = shares_of(4);
    const CellResult<double> whole = run_on_device<double>(emulated_cuda_table(), c, data, four);
    for (const int most : {8, 4, 3, 1}) {
      emulated_limit_clusters(most);
      const std::string plan = plan_of<double>(emulated_cuda_table(), c, four);
      const CellResult<double> result = run_on_device<double>(emulated_cuda_table(), c, data, four);
      emulated_limit_clusters(kMostCluster);
      const bool refused = plan.find("; the device has no room for a cluster of 4") != plan.npos;
      CHECK_EQUAL(refused, most < 4);
      CHECK_EQUAL(plan.find(" cluster") == plan.rfind(" cluster of 4"), most < 4);
      if (c.cell == "lstm" || most >= 4) check_same(c.name, whole, result);
    }
  }
}

/// By the model: as many blocks as there is room for.
TEST(a_smaller_cluster_is_chosen_where_there_is_no_room_for_a_larger_one) {
  const CellCase c = shared_batches()[3];
  const auto plan = [&] { return plan_of<double>(emulated_cuda_table(), c, {}); };
  CHECK(plan().find("2 blocks of 7 rows") != std::string::npos);
  emulated_limit_clusters(1);
  CHECK(plan().find("1 block of 13 rows") != std::string::npos);
  CHECK(plan().find("no room for a cluster of 2") != std::string::npos);
  emulated_limit_clusters(kMostCluster);
}

}  // namespace
}  // namespace lookback
