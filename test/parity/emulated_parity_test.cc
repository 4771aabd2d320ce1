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
  check_drivers(emulated_cuda_table(), kEvery, only != nullptr ? only : "");
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

}  // namespace
}  // namespace lookback
