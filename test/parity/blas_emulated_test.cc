/// The device on the host with a library that stands for cuBLAS (test/support/fake_cublas.cc):
/// which products it is given, that they are the right ones, and what its failures become.
#include <vector>

#include "backend/cuda/emulated_session.h"
#include "native/fake_cublas.h"
#include "native/models.h"
#include "parity/drivers.h"
#include "parity/products.h"

namespace lookback {
namespace {

/// Sessions that are opened while it lives have the fake, which products from `least`
/// multiply-adds on are given to.
class WithCublas {
 public:
  explicit WithCublas(int64_t least = 1, const char* path = FAKE_CUBLAS)
      : before_(fake_products()) {
    blas_least() = least;
    emulated_use_blas(path);
  }
  ~WithCublas() {
    blas_least() = kBlasLeast;
    emulated_use_blas(nullptr);
  }
  WithCublas(const WithCublas&) = delete;
  WithCublas& operator=(const WithCublas&) = delete;
  /// Since this was made, or since the last call.
  int products() {
    const int now = fake_products(), since = now - before_;
    before_ = now;
    return since;
  }

 private:
  int before_;
};

constexpr int64_t kRows = 9, kSteps = 4, kInputs = 3;

std::unique_ptr<Engine> model_on(DeviceKind device) {
  auto model = engine({lstm(6, true), lstm(5), dense(4, "tanh"), dense(4)}, kInputs,
                      DType::kFloat64, 1, device);
  model->compile(named("softmaxCrossEntropy"),
                 spec({{"kind", std::string("sgd")}, {"learningRate", 0.1}}));
  return model;
}

int64_t add_rows(Engine& model) {
  std::vector<int32_t> labels;
  for (int32_t i = 0; i < kRows; ++i) labels.push_back(i % 4);
  return model.add_data(noise_tensor({kRows, kSteps, kInputs}, 5), int_tensor(labels), {});
}

Numbers trained(Engine& model) {
  train(model, add_rows(model), first_rows(kRows), 4, 1);
  return state_of(model);
}

Numbers predicted(Engine& model) { return numbers_of(model.predict(add_rows(model), 4)); }

/// Sums in another order, through a handful of updates.
void check_close(const Numbers& actual, const Numbers& expected) {
  CHECK_EQUAL(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!check::near(actual[i], expected[i], 1e-12)) CHECK_NEAR(actual[i], expected[i], 1e-12);
  }
}

TEST(products_are_those_of_our_kernel) {
  WithCublas cublas;
  LoneDevice<float> floats(emulated_cuda_table());
  LoneDevice<double> doubles(emulated_cuda_table());
  check_products(floats);
  check_products(doubles);
  // Half of them may go there, all of those do.
  CHECK_EQUAL(cublas.products(), 2 * (3 * 3 * 2 * 8 + 1));
}

TEST(a_product_that_it_cannot_form_is_our_kernels) {
  WithCublas cublas;
  LoneDevice<double> device(emulated_cuda_table());
  const Buffer<double> a = product_numbers(device, 24, 1), b = product_numbers(device, 12, 2);
  Buffer<double> c = product_numbers(device, 8, 3);
  device.gemm({4, 2, 3, a.data(), 6, 2, b.data(), 4, 2, 0, c.data(), 2, true});
  device.gemm({4, 2, 0, a.data(), 3, 1, b.data(), 2, 1, 0, c.data(), 2, true});
  double numbers[8] = {1};
  device.memory().copy_out(c.data(), 8, numbers);
  for (const double number : numbers) CHECK_EQUAL(number, 0.0);
  CHECK_EQUAL(cublas.products(), 0);
}

TEST(every_cell_computes_with_it_what_the_cpu_computes) {
  WithCublas cublas;
  const std::vector<DriverChoice>& all = driver_choices();
  check_drivers(emulated_cuda_table(), 3, "", {all.front(), all.back()}, &emulated_open_table());
  CHECK(cublas.products() > 1000);
}

TEST(a_model_trains_with_it_as_on_the_cpu) {
  WithCublas cublas;
  const auto device = model_on(DeviceKind::kEmulated), again = model_on(DeviceKind::kEmulated),
             cpu = model_on(DeviceKind::kCpu);
  const Numbers once = trained(*device);
  CHECK(cublas.products() > 0);
  check_close(once, trained(*cpu));
  CHECK(once == trained(*again));
}

TEST(inference_has_the_bits_of_our_kernel) {
  const auto own = model_on(DeviceKind::kEmulated);
  WithCublas cublas;
  const auto with = model_on(DeviceKind::kEmulated);
  for (const auto driver : {BlockChoice::kResident, BlockChoice::kStepwise}) {
    block_choice() = {driver, 2, -1};
    CHECK(predicted(*own) == predicted(*with));
    HostTensor x = noise_tensor({2, kSteps, kInputs}, 8);
    const Numbers expected = numbers_of(own->forward(copy_of(x), {}, false));
    CHECK(expected == numbers_of(with->forward(std::move(x), {}, false)));
  }
  block_choice() = BlockChoice();
  CHECK_EQUAL(cublas.products(), 0);
}

TEST(every_product_of_a_stepwise_pass_of_training_is_its) {
  WithCublas cublas;
  int products[2];
  for (const int steps : {4, 5}) {
    block_choice() = {BlockChoice::kStepwise, 2, -1};
    const auto model = model_on(DeviceKind::kEmulated);
    HostTensor y = model->forward(noise_tensor({2, steps, kInputs}, 8), {}, true);
    block_choice() = BlockChoice();
    // Two layers of one product of the states a step; one before the loop each, and two dense ones.
    CHECK_EQUAL(cublas.products(), 2 * steps + 2 + 2);
    model->backward(std::move(y));
    products[steps - 4] = cublas.products();
  }
  CHECK_EQUAL(products[1] - products[0], 2);
}

TEST(small_products_stay_with_our_kernel) {
  WithCublas cublas(kBlasLeast);
  const auto model = model_on(DeviceKind::kEmulated);
  trained(*model);
  CHECK_EQUAL(cublas.products(), 0);
  CHECK_EQUAL(fake_handles(), 0);
}

/// A capture must not be where it is opened.
TEST(the_stepwise_driver_opens_it_before_it_is_needed) {
  WithCublas cublas(kBlasLeast);
  const auto model = model_on(DeviceKind::kEmulated);
  block_choice() = {BlockChoice::kStepwise, 2, -1};
  model->forward(noise_tensor({2, kSteps, kInputs}, 8), {}, false);
  CHECK_EQUAL(fake_handles(), 0);
  model->forward(noise_tensor({2, kSteps, kInputs}, 8), {}, true);
  block_choice() = BlockChoice();
  CHECK_EQUAL(fake_handles(), 1);
}

TEST(where_it_does_not_open_training_is_our_kernels) {
  const Numbers expected = trained(*model_on(DeviceKind::kEmulated));
  {
    WithCublas old(1, FAKE_CUBLAS_OLD);
    CHECK(trained(*model_on(DeviceKind::kEmulated)) == expected);
  }
  WithCublas cublas;
  const FailingCublas failing("cublasCreate_v2");
  CHECK(trained(*model_on(DeviceKind::kEmulated)) == expected);
  CudaDevice device(emulated_cuda_table());
  CHECK_EQUAL(device.blas().used, 0);
  CHECK_EQUAL(std::string(device.blas().reason),
              "cublasCreate_v2 gives CUBLAS_STATUS_NOT_INITIALIZED (1)");
}

TEST(a_product_that_fails_is_an_error_and_the_model_stays_usable) {
  WithCublas cublas;
  const auto model = model_on(DeviceKind::kEmulated);
  const int64_t data = add_rows(*model);
  const Numbers before = state_of(*model);
  {
    const FailingCublas failing("cublasDgemm_v2");
    CHECK_THROWS(kDevice, "cublasDgemm_v2 gives CUBLAS_STATUS_EXECUTION_FAILED (13)",
                 train(*model, data, first_rows(kRows), 4, 1));
  }
  CHECK(state_of(*model) == before);
  CHECK(trained(*model) == trained(*model_on(DeviceKind::kEmulated)));
}

TEST(without_memory_for_its_workspace_training_fails_once) {
  WithCublas cublas;
  CudaDevice device(emulated_cuda_table());
  emulated_fail_allocation(0);
  CHECK_THROWS(kMemory, "cuBLAS' workspace: 4096 bytes", device.blas());
  emulated_fail_allocation(-1);
  CHECK_EQUAL(device.blas().used, 1);
}

}  // namespace
}  // namespace lookback
