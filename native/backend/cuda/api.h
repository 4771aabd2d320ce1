/// The border between the host code and the CUDA library: one table of C functions with a version
/// number. The library (library.cu) and, in test builds, an implementation on the host
/// (emulated_device.cc) fill it, so that the same host code runs against both. Nothing throws
/// across it and no C++ object crosses it.
#pragma once

#include <cstdint>

namespace lookback {

/// Raised whenever a struct or a meaning below or in operations.h changes.
constexpr uint32_t kCudaApiVersion = 3;

enum CudaStatus : int32_t {
  kCudaOk = 0,
  kCudaNoMemory,   ///< `wanted` and `available` say how much
  kCudaNoDevice,   ///< no device, or none that this library has code for
  kCudaOldDriver,  ///< the driver is older than the library needs, or there is none
  kCudaLost,       ///< the device or its context is gone: the session can only be closed
  kCudaFailed,     ///< anything else: a bug of ours
};

/// Why a call failed; every function that can fail fills one and returns its status.
struct CudaFault {
  int32_t status;
  int64_t wanted, available;  ///< bytes, for kCudaNoMemory
  char message[256];
};

struct CudaDeviceInfo {
  char name[128];
  int32_t major, minor;     ///< compute capability
  int32_t multiprocessors;  ///< SMs
  int32_t shared_bytes;     ///< per block, the largest that can be asked for
  int32_t registers;        ///< per multiprocessor, 32 bits each
  int32_t max_cluster;      ///< blocks of the largest thread-block cluster; 1 before sm_90
  int64_t total_bytes, free_bytes;
  int32_t driver, runtime;  ///< versions, 1000 * major + 10 * minor
  int32_t can_map_host;     ///< kernels can read pinned host memory
};

/// cuBLAS as a session has it.
struct CudaBlasInfo {
  int32_t used;     ///< it is open; else `reason` says why not
  int32_t version;  ///< as cublasGetVersion gives it; 0 where it was not asked
  char path[256];   ///< the file; empty where none loads
  char reason[256];
};

/// A device with one stream of work, its memory pool and its staging buffers; one thread at a time.
struct CudaSession;

/// Launches that are queued together: a CUDA graph.
struct CudaRecord;

struct CudaTable {
  uint32_t version;   ///< kCudaApiVersion
  uint32_t bytes;     ///< sizeof(CudaTable)
  uint64_t layout;    ///< cuda_layout() of operations.h
  const char* build;  ///< for `doctor`

  int32_t (*device_count)(int32_t* count, CudaFault* fault);
  int32_t (*device_info)(int32_t device, CudaDeviceInfo* info, CudaFault* fault);

  int32_t (*open)(int32_t device, CudaSession** session, CudaFault* fault);
  void (*close)(CudaSession* session);

  /// At least 256-byte aligned, from the session's pool, which keeps what is released.
  int32_t (*allocate)(CudaSession* session, int64_t bytes, int32_t zeroed, void** memory,
                      CudaFault* fault);
  /// After the work that is queued; never fails.
  void (*release)(CudaSession* session, void* memory);
  int32_t (*zero)(CudaSession* session, void* to, int64_t bytes, CudaFault* fault);
  /// Returns once `from` may change; the copy itself goes through pinned memory while work queued
  /// before it runs.
  int32_t (*copy_in)(CudaSession* session, const void* from, int64_t bytes, void* to,
                     CudaFault* fault);
  /// Waits, as `wait` does.
  int32_t (*copy_out)(CudaSession* session, const void* from, int64_t bytes, void* to,
                      CudaFault* fault);
  int32_t (*copy)(CudaSession* session, const void* from, int64_t bytes, void* to,
                  CudaFault* fault);
  /// Until all work queued is done. Faults of earlier launches come out here.
  int32_t (*wait)(CudaSession* session, CudaFault* fault);

  /// `flag`: a std::atomic<bool> of the host, or null. While the host waits in a call above, a flag
  /// that turns true is passed on to `cancel_flag`.
  void (*set_cancel)(CudaSession* session, const void* flag);
  /// What kernels poll: a byte that is not zero once the work is to be given up. To be asked for
  /// after `set_cancel`.
  const void* (*cancel_flag)(CudaSession* session);

  /// Queues one operation of operations.h: `arguments` is its struct for float (`dtype` 4) or
  /// double (8), copied before this returns.
  int32_t (*launch)(CudaSession* session, int32_t operation, int32_t dtype, const void* arguments,
                    int64_t bytes, CudaFault* fault);

  /// From here to `end_record`, launches are noted and not run; nothing may be allocated, copied or
  /// waited for meanwhile.
  int32_t (*begin_record)(CudaSession* session, CudaFault* fault);
  /// `record` null: what was noted is thrown away.
  int32_t (*end_record)(CudaSession* session, CudaRecord** record, CudaFault* fault);
  /// Queues the launches of a record, with the arguments that they were noted with.
  int32_t (*replay)(CudaSession* session, CudaRecord* record, CudaFault* fault);
  /// After the work that is queued; never fails.
  void (*drop_record)(CudaSession* session, CudaRecord* record);
  /// Opens cuBLAS when it is first asked for, which must not be while work is captured; until then
  /// and where it does not open, no product is given to it. LOOKBACK_CUBLAS names the library, or
  /// switches it off. Fails only for want of memory, after which it can be asked again.
  int32_t (*blas)(CudaSession* session, CudaBlasInfo* info, CudaFault* fault);
  /// How many clusters of a time loop the device can hold at once, beside nothing else: 0 where it
  /// could never start one. `arguments`: as `launch` would have them for kCudaLoop; of those only
  /// which kernel it is, its threads, shared memory and blocks of a cluster are looked at.
  int32_t (*count_clusters)(CudaSession* session, int32_t dtype, const void* arguments,
                            int64_t bytes, int32_t* count, CudaFault* fault);
};

/// What the library exports.
using CudaTableFunction = const CudaTable* (*)();
constexpr const char* kCudaTableSymbol = "lookback_cuda_table";

}  // namespace lookback
