#include "backend/cuda/device.h"

#include "backend/cuda/operation_list.h"
#include "base/error.h"

namespace lookback {
namespace {

void check(int32_t status, const CudaFault& fault, const char* what = "device memory") {
  if (status != kCudaOk) throw_fault(fault, what);
}

}  // namespace

void throw_fault(const CudaFault& fault, const char* what) {
  if (fault.status == kCudaNoMemory) {
    fail(ErrorCode::kMemory,
         text(what, ": ", fault.wanted, " bytes are needed on the device and ", fault.available,
              " are free; use a smaller batch, fewer steps or fewer units"));
  }
  if (fault.status == kCudaLost) {
    fail(ErrorCode::kDevice, text("the CUDA device is lost (", fault.message,
                                  "); make the model again, or restart the process"));
  }
  fail(ErrorCode::kDevice, text("the CUDA device failed: ", fault.message));
}

CublasReport report_of(const CudaBlasInfo& info) {
  if (info.used == 0) return {info.path, "", info.reason};
  // Until 11.6 a minor version had three digits and the major one stood before them.
  const int unit = info.version < 100000 ? 1000 : 10000;
  return {info.path,
          text(info.version / unit, ".", info.version % unit / 100, ".", info.version % 100), ""};
}

void require_cuda_table(const CudaTable* table, const std::string& from) {
  REQUIRE(table != nullptr, kDevice, from, " gives no table of functions; build it again");
  REQUIRE(table->version == kCudaApiVersion, kDevice, from, " is of another build (its version is ",
          table->version, ", this one's is ", kCudaApiVersion,
          "); build it again: npx lookback build --cuda");
  REQUIRE(table->bytes == sizeof(CudaTable) && table->layout == cuda_layout(), kDevice, from,
          " is of another build (of the same version, ", kCudaApiVersion,
          ", with other structs); build it again: npx lookback build --cuda");
}

CudaDevice::CudaDevice(const CudaTable& table, int device) : table_(table) {
  CudaFault fault = {};
  check(table.device_info(device, &info_, &fault), fault);
  check(table.open(device, &session_, &fault), fault, "a session");
}

CudaDevice::~CudaDevice() { table_.close(session_); }

void* CudaDevice::allocate(int64_t bytes, bool zeroed, const char* what) {
  CudaFault fault = {};
  void* memory = nullptr;
  check(table_.allocate(session_, bytes, zeroed ? 1 : 0, &memory, &fault), fault, what);
  return memory;
}

void CudaDevice::release(void* memory) noexcept {
  if (memory == nullptr) return;
  ++releases_;
  table_.release(session_, memory);
}

void CudaDevice::begin_record() {
  CudaFault fault = {};
  check(table_.begin_record(session_, &fault), fault);
}

CudaRecord* CudaDevice::end_record() {
  CudaFault fault = {};
  CudaRecord* record = nullptr;
  check(table_.end_record(session_, &record, &fault), fault, "a record of launches");
  return record;
}

void CudaDevice::abandon_record() noexcept {
  CudaFault fault = {};
  table_.end_record(session_, nullptr, &fault);
}

void CudaDevice::replay(CudaRecord* record) {
  CudaFault fault = {};
  check(table_.replay(session_, record, &fault), fault);
}

void CudaDevice::set_cancel(const std::atomic<bool>* cancel) {
  cancel_ = cancel;
  table_.set_cancel(session_, cancel);
}

void CudaDevice::check_cancel() const {
  REQUIRE(cancel_ == nullptr || !cancel_->load(std::memory_order_relaxed), kAborted,
          "the job was cancelled");
}

const std::atomic<bool>* CudaDevice::cancel_flag() const {
  return static_cast<const std::atomic<bool>*>(table_.cancel_flag(session_));
}

void CudaDevice::wait() {
  CudaFault fault = {};
  check(table_.wait(session_, &fault), fault);
}

const CudaBlasInfo& CudaDevice::blas() {
  if (opened_blas() != nullptr) return blas_;
  CudaFault fault = {};
  check(table_.blas(session_, &blas_, &fault), fault, "cuBLAS' workspace");
  asked_for_blas_.store(true, std::memory_order_release);
  return blas_;
}

const CudaBlasInfo* CudaDevice::opened_blas() const {
  return asked_for_blas_.load(std::memory_order_acquire) ? &blas_ : nullptr;
}

void CudaDevice::zero_bytes(void* to, int64_t bytes) {
  CudaFault fault = {};
  if (bytes > 0) check(table_.zero(session_, to, bytes, &fault), fault);
}

void CudaDevice::copy_in_bytes(const void* from, int64_t bytes, void* to) {
  CudaFault fault = {};
  if (bytes > 0) check(table_.copy_in(session_, from, bytes, to, &fault), fault);
}

void CudaDevice::copy_out_bytes(const void* from, int64_t bytes, void* to) {
  CudaFault fault = {};
  if (bytes > 0) check(table_.copy_out(session_, from, bytes, to, &fault), fault);
}

void CudaDevice::copy_bytes(const void* from, int64_t bytes, void* to) {
  CudaFault fault = {};
  if (bytes > 0 && from != to) check(table_.copy(session_, from, bytes, to, &fault), fault);
}

int CudaDevice::count_clusters(int32_t dtype, const void* arguments, int64_t bytes) {
  CudaFault fault = {};
  int32_t count = 0;
  check(table_.count_clusters(session_, dtype, arguments, bytes, &count, &fault), fault);
  return count;
}

void CudaDevice::launch_bytes(int32_t operation, int32_t dtype, const void* arguments,
                              int64_t bytes) {
  CudaFault fault = {};
  launched_bytes_ += static_cast<uint64_t>(bytes);
  check(table_.launch(session_, operation, dtype, arguments, bytes, &fault), fault);
}

}  // namespace lookback
