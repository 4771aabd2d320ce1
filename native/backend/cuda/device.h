/// The host's side of a CUDA device: a session of the table with typed errors, and its memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/api.h"
#include "base/memory_space.h"

namespace lookback {

/// One session. Faults become `Error`s: ERR_MEMORY with the bytes wanted and free, after which the
/// session goes on; ERR_DEVICE for everything else.
class CudaDevice final : public MemorySpace {
 public:
  explicit CudaDevice(const CudaTable& table, int device = 0);
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  bool is_host() const override { return false; }
  void* allocate(int64_t bytes, bool zeroed, const char* what) override;
  void release(void* memory) noexcept override;

  const CudaDeviceInfo& info() const { return info_; }
  /// Null: never cancelled.
  void set_cancel(const std::atomic<bool>* cancel);
  /// ERR_ABORTED where the flag is true.
  void check_cancel() const;
  /// For kernels to poll; valid until the next `set_cancel`.
  const std::atomic<bool>* cancel_flag() const;
  void wait();
  /// cuBLAS of this session, opened by the first call. ERR_MEMORY where there is no room for it.
  const CudaBlasInfo& blas();
  /// The same where it has been opened, else null. Beside any other call, as `info` and
  /// `count_clusters`.
  const CudaBlasInfo* opened_blas() const;

  /// Queues an operation for numbers of type S.
  template <class S, class Op>
  void launch(int32_t operation, const Op& op) {
    launch_bytes(operation, sizeof(S), &op, sizeof(Op));
  }

  /// Clusters of such a launch of a time loop (LoopOp) that the device can hold at once; 0: it can
  /// start none.
  template <class S, class Op>
  int count_clusters(const Op& op) {
    return count_clusters(sizeof(S), &op, sizeof(op));
  }

  /// From here to `end_record` launches are noted and not run; nothing may be allocated, copied or
  /// waited for meanwhile.
  void begin_record();
  CudaRecord* end_record();
  /// In place of `end_record`, where something went wrong in between.
  void abandon_record() noexcept;
  void replay(CudaRecord* record);
  void drop_record(CudaRecord* record) noexcept { table_.drop_record(session_, record); }
  /// How often memory was given back. While that stays the same, an address is what it was.
  uint64_t releases() const { return releases_; }
  /// Bytes of arguments of all launches so far, which a record of them would hold.
  uint64_t launched_bytes() const { return launched_bytes_; }

 protected:
  void zero_bytes(void* to, int64_t bytes) override;
  void copy_in_bytes(const void* from, int64_t bytes, void* to) override;
  void copy_out_bytes(const void* from, int64_t bytes, void* to) override;
  void copy_bytes(const void* from, int64_t bytes, void* to) override;

 private:
  int count_clusters(int32_t dtype, const void* arguments, int64_t bytes);
  void launch_bytes(int32_t operation, int32_t dtype, const void* arguments, int64_t bytes);

  const CudaTable& table_;
  CudaSession* session_ = nullptr;
  CudaDeviceInfo info_ = {};
  CudaBlasInfo blas_ = {};
  std::atomic<bool> asked_for_blas_{false};  ///< `blas_` does not change from then on
  const std::atomic<bool>* cancel_ = nullptr;
  uint64_t releases_ = 0, launched_bytes_ = 0;
};

/// In words.
CublasReport report_of(const CudaBlasInfo& info);

/// Throws the error that a fault stands for; `what` names the array for ERR_MEMORY.
[[noreturn]] void throw_fault(const CudaFault& fault, const char* what);

/// Throws ERR_DEVICE unless a table is one that this build understands.
void require_cuda_table(const CudaTable* table, const std::string& from);

}  // namespace lookback
