/// The GPU's kernel bodies on the host compute what the CPU computes, for every cell and
/// driver.
#include <cstdlib>

#include "backend/cuda/emulated_session.h"
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

}  // namespace
}  // namespace lookback
