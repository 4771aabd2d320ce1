/// A GPU computes what the CPU computes, for every cell and driver. Skipped where there is no GPU,
/// or no library for it (LOOKBACK_CUDA_LIBRARY names one that lies elsewhere). PARITY_ONLY: cases
/// whose names hold that. PARITY_EVERY: one of so many cases.
#include <cstdlib>
#include <iostream>
#include <string>

#include "backend/cuda/blas.h"
#include "backend/cuda/library.h"
#include "base/error.h"
#include "native/step_by_step.h"
#include "parity/batch_shares.h"
#include "parity/drivers.h"
#include "parity/products.h"

namespace lookback {
namespace {

std::string variable(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

/// Null where there is nothing to test.
const CudaTable* library() {
  try {
    return &cuda_library();
  } catch (const Error& error) {
    std::cout << "SKIPPED: " << error.message() << "\n";
    return nullptr;
  }
}

/// The file, and every product that may go there; else why not.
bool with_cublas() {
  const CudaBlasInfo info = cuda_blas();
  std::cout << "     cuBLAS: " << (info.used != 0 ? info.path : info.reason) << "\n";
  return info.used != 0;
}

TEST(products_of_cublas_are_those_of_our_kernel) {
  const CudaTable* const table = library();
  if (table == nullptr || !with_cublas()) return;
  blas_least() = 1;
  LoneDevice<float> floats(*table);
  LoneDevice<double> doubles(*table);
  check_products(floats);
  check_products(doubles);
  check_both<float>(floats, 512, 137, 8192, 1, 0);
  check_both<double>(doubles, 512, 137, 8192, 1, 0);
  blas_least() = kBlasLeast;
}

TEST(a_gpu_with_cublas_for_every_product_agrees_with_the_cpu) {
  const CudaTable* const table = library();
  if (table == nullptr || !with_cublas()) return;
  blas_least() = 1;
  const std::vector<DriverChoice>& all = driver_choices();
  check_drivers(*table, 4 * std::stoul(variable("PARITY_EVERY", "1")), variable("PARITY_ONLY", ""),
                {all.front(), all.back()});
  blas_least() = kBlasLeast;
}

TEST(a_gpu_agrees_with_the_cpu) {
  const CudaTable* const table = library();
  if (table == nullptr) return;
  const std::string only = variable("PARITY_ONLY", "");
  const size_t cases = check_drivers(*table, std::stoul(variable("PARITY_EVERY", "1")), only);
  if (cases == 0) check::fail("PARITY_ONLY", 0, "no case has '" + only + "' in its name");
}

TEST(clusters_with_wide_products_give_the_bits_of_one_block) {
  const CudaTable* const table = library();
  if (table != nullptr && cuda_devices().front().max_cluster > 1) check_wide_clusters(*table);
}

TEST(weights_in_registers_give_the_same_bits) {
  const CudaTable* const table = library();
  if (table != nullptr) check_held(*table);
}

TEST(blocks_divide_a_batch_whose_rows_meet) {
  const CudaTable* const table = library();
  if (table == nullptr) return;
  check_batch_shares(*table);
  check_shares_agree<float>(*table);
  check_shares_agree<double>(*table);
  check_held_shares(*table);
}

TEST(a_model_trains_step_by_step_as_on_the_cpu) {
  if (library() == nullptr) return;
  const Numbers expected = trained_step_by_step(DeviceKind::kCpu);
  const Numbers trained = trained_step_by_step(DeviceKind::kCuda);
  CHECK_EQUAL(trained.size(), expected.size());
  // Differences of sums in another order, through some updates.
  for (size_t i = 0; i < expected.size(); ++i) CHECK_NEAR(trained[i], expected[i], 1e-11);
}

}  // namespace
}  // namespace lookback
