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

/// A GPU, or the device on the host. What its cells prepare on the host is multiplied by the CPU's
/// kernels, on threads that are started for the first such product.
template <class S>
class DeviceBackend final : public CudaBackend<S> {
 public:
  DeviceBackend(const CudaTable& table, int threads)
      : CudaBackend<S>(table), threads_(thread_count(threads)) {}

  void set_cancel(const std::atomic<bool>* cancel) override {
    CudaBackend<S>::set_cancel(cancel);
    cancel_ = cancel;
    if (host_ != nullptr) host_->set_cancel(cancel);
  }
  std::unique_ptr<Recurrence<S>> recurrence(const std::string& kind, const Spec& spec) override {
    const Multiply multiply = [this](const Gemm<double>& g) { host().gemm(g); };
    return make_cuda_recurrence<S>(*this, this->device_, multiply, kind, spec);
  }

 private:
  CpuBackend<double>& host() {
    if (host_ == nullptr) {
      host_ = std::make_unique<CpuBackend<double>>(threads_);
      host_->set_cancel(cancel_);
    }
    return *host_;
  }

  int threads_;
  const std::atomic<bool>* cancel_ = nullptr;
  std::unique_ptr<CpuBackend<double>> host_;
};

}  // namespace

template <class S>
std::unique_ptr<Backend<S>> make_backend(DeviceKind kind, int threads) {
  if (kind == DeviceKind::kCpu) return std::make_unique<CpuBackend<S>>(threads);
  if (kind == DeviceKind::kCuda) return std::make_unique<DeviceBackend<S>>(cuda_library(), threads);
#if defined(LOOKBACK_EMULATED)
  return std::make_unique<DeviceBackend<S>>(emulated_cuda_table(), threads);
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

CublasReport cublas_report() {
  try {
    return report_of(cuda_blas());
  } catch (const Error& error) {
    return {"", "", error.message()};
  }
}

template std::unique_ptr<Backend<float>> make_backend(DeviceKind, int);
template std::unique_ptr<Backend<double>> make_backend(DeviceKind, int);

}  // namespace lookback
