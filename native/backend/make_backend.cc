#include <utility>

#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/recurrence.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "backend/staged_recurrence.h"
#include "base/error.h"
#if defined(LOOKBACK_EMULATED)
#include "backend/cuda/emulated_session.h"
#endif

namespace lookback {
namespace {

#if defined(LOOKBACK_EMULATED)
/// The device on host threads; its recurrences run in the host's memory, by the GPU's kernel body.
template <class S>
class EmulatedBackend final : public CudaBackend<S> {
 public:
  explicit EmulatedBackend(int threads)
      : CudaBackend<S>(emulated_cuda_table()), runtime_(thread_count(threads)) {}

  int threads() const override { return runtime_.pool.threads(); }
  void set_cancel(const std::atomic<bool>* cancel) override {
    runtime_.cancel = cancel;
    CudaBackend<S>::set_cancel(cancel);
  }
  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override {
    return std::make_unique<StagedRecurrence<S>>(
        make_cpu_recurrence<S>(runtime_, DeviceKind::kEmulated, kind, spec), this->device_);
  }

 private:
  CpuRuntime runtime_;
};
#endif

/// A GPU.
template <class S>
class GpuBackend final : public CudaBackend<S> {
 public:
  GpuBackend() : CudaBackend<S>(cuda_library()) {}

  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec&) override {
    fail(ErrorCode::kDevice, text("cell '", kind, "' has no CUDA driver in this build; use 'cpu'"));
  }
};

}  // namespace

template <class S>
std::unique_ptr<Backend<S>> make_backend(DeviceKind kind, int threads) {
  if (kind == DeviceKind::kCpu) return std::make_unique<CpuBackend<S>>(threads);
  if (kind == DeviceKind::kCuda) return std::make_unique<GpuBackend<S>>();
#if defined(LOOKBACK_EMULATED)
  return std::make_unique<EmulatedBackend<S>>(threads);
#else
  fail(ErrorCode::kDevice,
       "device 'emulated' is not built in; it exists in the test build only, use 'cpu'");
#endif
}

CudaReport cuda_report() {
  CudaReport report;
  report.library = cuda_library_path();
  try {
    report.build = cuda_library().build;
    for (const CudaDeviceInfo& info : cuda_devices()) {
      report.devices.push_back(
          {info.name, info.major, info.minor, info.total_bytes, info.free_bytes, info.driver});
    }
  } catch (const Error& error) {
    report.reason = error.message();
  }
  return report;
}

template std::unique_ptr<Backend<float>> make_backend(DeviceKind, int);
template std::unique_ptr<Backend<double>> make_backend(DeviceKind, int);

}  // namespace lookback
