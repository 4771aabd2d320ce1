#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "backend/cuda/recurrence.h"
#include "base/error.h"
#if defined(LOOKBACK_EMULATED)
#include "backend/cuda/emulated_session.h"
#endif

namespace lookback {
namespace {

/// A GPU, or the device on the host.
template <class S>
class DeviceBackend final : public CudaBackend<S> {
 public:
  using CudaBackend<S>::CudaBackend;

  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override {
    return make_cuda_recurrence<S>(*this, this->device_, kind, spec);
  }
};

}  // namespace

template <class S>
std::unique_ptr<Backend<S>> make_backend(DeviceKind kind, int threads) {
  if (kind == DeviceKind::kCpu) return std::make_unique<CpuBackend<S>>(threads);
  if (kind == DeviceKind::kCuda) return std::make_unique<DeviceBackend<S>>(cuda_library());
#if defined(LOOKBACK_EMULATED)
  return std::make_unique<DeviceBackend<S>>(emulated_cuda_table());
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
      report.devices.push_back({info.name, info.major, info.minor, info.total_bytes,
                                info.free_bytes, info.multiprocessors, info.shared_bytes,
                                info.max_cluster, info.driver});
    }
  } catch (const Error& error) {
    report.reason = error.message();
  }
  return report;
}

template std::unique_ptr<Backend<float>> make_backend(DeviceKind, int);
template std::unique_ptr<Backend<double>> make_backend(DeviceKind, int);

}  // namespace lookback
