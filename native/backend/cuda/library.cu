// The CUDA library: the table of api.h on a GPU. Launches of operations are in launch.cu, the
// drivers of recurrent cells in files of their own.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "backend/cuda/faults.h"
#include "backend/cuda/operation_list.h"
#include "backend/cuda/recurrent_operations.h"
#include "backend/cuda/session.cuh"

namespace lookback {

int32_t launch_operation(CudaSession* session, int32_t operation, int32_t dtype,
                         const void* arguments, int64_t bytes, CudaFault* fault);

int32_t cuda_check(cudaError_t result, const char* what, CudaFault* fault) {
  if (result == cudaSuccess) return kCudaOk;
  const char* text = cudaGetErrorString(result);
  switch (result) {
    case cudaErrorMemoryAllocation: {
      size_t available = 0, total = 0;
      cudaGetLastError();
      cudaMemGetInfo(&available, &total);
      return set_fault(fault, kCudaNoMemory, what, text, 0, static_cast<int64_t>(available));
    }
    case cudaErrorNoDevice:
      return set_fault(fault, kCudaNoDevice, what, text);
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      return set_fault(fault, kCudaNoDevice, what, text);
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
      return set_fault(fault, kCudaOldDriver, what, text);
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
      return set_fault(fault, kCudaLost, what, text);
    default:
      cudaGetLastError();
      return set_fault(fault, kCudaFailed, what, text);
  }
}

namespace {

constexpr int64_t kStagingBytes = int64_t{4} << 20;
/// The oldest device that there is code for.
constexpr int kMinMajor = 8;
/// Spinning longer than this would only heat the host.
constexpr int kSpins = 2000;

#define CUDA_TRY(call, what)                                            \
  do {                                                                  \
    if (cuda_check(call, what, fault) != kCudaOk) return fault->status; \
  } while (0)

int32_t device_count(int32_t* count, CudaFault* fault) {
  int found = 0, driver = 0, runtime = 0;
  *count = 0;
  const cudaError_t result = cudaGetDeviceCount(&found);
  if (result == cudaErrorInsufficientDriver) {
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    cudaGetLastError();
    char detail[160];
    std::snprintf(detail, sizeof detail, "it understands CUDA %d.%d, and %d.%d is needed",
                  driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return driver == 0
               ? set_fault(fault, kCudaOldDriver, "there is no NVIDIA driver", "install one")
               : set_fault(fault, kCudaOldDriver, "the NVIDIA driver is too old", detail);
  }
  CUDA_TRY(result, "looking for devices");
  *count = found;
  return kCudaOk;
}

int32_t device_info(int32_t device, CudaDeviceInfo* info, CudaFault* fault) {
  *info = CudaDeviceInfo();
  cudaDeviceProp properties;
  CUDA_TRY(cudaGetDeviceProperties(&properties, device), "reading a device's properties");
  std::strncpy(info->name, properties.name, sizeof info->name - 1);
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->shared_bytes = static_cast<int32_t>(properties.sharedMemPerBlockOptin);
  info->registers = properties.regsPerMultiprocessor;
  info->max_cluster = properties.major >= 9 ? 8 : 1;
  info->can_map_host = properties.canMapHostMemory;
  info->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  size_t available = 0, total = 0;
  int previous = 0;
  CUDA_TRY(cudaGetDevice(&previous), "choosing a device");
  CUDA_TRY(cudaSetDevice(device), "choosing a device");
  CUDA_TRY(cudaMemGetInfo(&available, &total), "reading a device's memory");
  CUDA_TRY(cudaSetDevice(previous), "choosing a device");
  info->free_bytes = static_cast<int64_t>(available);
  int driver = 0, runtime = 0;
  CUDA_TRY(cudaDriverGetVersion(&driver), "reading the driver's version");
  CUDA_TRY(cudaRuntimeGetVersion(&runtime), "reading the runtime's version");
  info->driver = driver;
  info->runtime = runtime;
  return kCudaOk;
}

/// Every call may come from another thread than the one before.
int32_t enter(CudaSession* session, CudaFault* fault) {
  return cuda_check(cudaSetDevice(session->device), "choosing a device", fault);
}

/// After calls whose results nobody asks for. The error of a lost device comes back with the next
/// call; any other would be taken for that of the next launch.
void forget_error() { cudaGetLastError(); }

/// For what must not become part of a record: it would happen at every replay, with what it found
/// the first time.
int32_t enter_alone(CudaSession* session, const char* what, CudaFault* fault) {
  if (session->recording)
    return set_fault(fault, kCudaFailed, what, "not while launches are recorded");
  return enter(session, fault);
}

int32_t fill_session(CudaSession* session, CudaFault* fault) {
  CUDA_TRY(cudaSetDevice(session->device), "choosing a device");
  CUDA_TRY(cudaGetDeviceProperties(&session->properties, session->device),
           "reading a device's properties");
  if (session->properties.major < kMinMajor) {
    char detail[160];
    std::snprintf(detail, sizeof detail, "%s has compute capability %d.%d; 8.0 or later is needed",
                  session->properties.name, session->properties.major, session->properties.minor);
    return set_fault(fault, kCudaNoDevice, "opening the device", detail);
  }
  CUDA_TRY(cudaStreamCreateWithFlags(&session->stream, cudaStreamNonBlocking), "making a stream");
  CUDA_TRY(cudaEventCreateWithFlags(&session->reached, cudaEventDisableTiming), "making an event");
  for (CudaStaging& each : session->staging) {
    CUDA_TRY(cudaHostAlloc(&each.pinned, kStagingBytes, cudaHostAllocDefault),
             "making a staging buffer");
    CUDA_TRY(cudaEventCreateWithFlags(&each.done, cudaEventDisableTiming), "making an event");
  }
  void* flag = nullptr;
  CUDA_TRY(cudaHostAlloc(&flag, 64, cudaHostAllocMapped), "making the cancel flag");
  std::memset(flag, 0, 64);
  session->flag = static_cast<volatile unsigned char*>(flag);
  void* device_flag = nullptr;
  CUDA_TRY(cudaHostGetDevicePointer(&device_flag, flag, 0), "mapping the cancel flag");
  session->device_flag = device_flag;
  // What is released stays with the pool, so that a step of a known shape asks the driver nothing.
  cudaMemPoolProps properties = {};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = session->device;
  CUDA_TRY(cudaMemPoolCreate(&session->pool, &properties), "making a memory pool");
  uint64_t all = UINT64_MAX;
  CUDA_TRY(cudaMemPoolSetAttribute(session->pool, cudaMemPoolAttrReleaseThreshold, &all),
           "setting up the memory pool");
  return kCudaOk;
}

int32_t allocate(CudaSession*, int64_t, int32_t, void**, CudaFault*);
void release(CudaSession*, void*);
constexpr BlasMemory kBlasMemory = {kBlasWorkspace, allocate, release};

void close_session(CudaSession* session) {
  if (session == nullptr) return;
  cudaSetDevice(session->device);
  if (session->stream != nullptr) cudaStreamSynchronize(session->stream);
  session->blas.close(session, kBlasMemory);
  for (CudaStaging& each : session->staging) {
    if (each.done != nullptr) cudaEventDestroy(each.done);
    if (each.pinned != nullptr) cudaFreeHost(each.pinned);
  }
  if (session->flag != nullptr) cudaFreeHost(const_cast<unsigned char*>(session->flag));
  if (session->reached != nullptr) cudaEventDestroy(session->reached);
  if (session->stream != nullptr) cudaStreamDestroy(session->stream);
  if (session->pool != nullptr) cudaMemPoolDestroy(session->pool);
  forget_error();
  delete session;
}

int32_t open_session(int32_t device, CudaSession** session, CudaFault* fault) {
  auto* made = new (std::nothrow) CudaSession;
  if (made == nullptr)
    return set_fault(fault, kCudaNoMemory, "opening the device", "no memory on the host");
  made->device = device;
  if (fill_session(made, fault) != kCudaOk) {
    close_session(made);
    return fault->status;
  }
  *session = made;
  return kCudaOk;
}

int32_t allocate(CudaSession* session, int64_t bytes, int32_t zeroed, void** memory,
                 CudaFault* fault) {
  if (enter_alone(session, "an allocation", fault) != kCudaOk) return fault->status;
  const size_t size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  cudaError_t result = cudaMallocFromPoolAsync(memory, size, session->pool, session->stream);
  if (result == cudaErrorMemoryAllocation) {
    // What the pool keeps unused may be in pieces that are too small: back to the driver with it.
    cudaStreamSynchronize(session->stream);
    cudaMemPoolTrimTo(session->pool, 0);
    forget_error();
    result = cudaMallocFromPoolAsync(memory, size, session->pool, session->stream);
  }
  if (cuda_check(result, "an allocation", fault) != kCudaOk) {
    fault->wanted = bytes;
    return fault->status;
  }
  if (zeroed != 0) CUDA_TRY(cudaMemsetAsync(*memory, 0, size, session->stream), "zeroing");
  return kCudaOk;
}

void release(CudaSession* session, void* memory) {
  if (memory == nullptr) return;
  cudaSetDevice(session->device);
  cudaFreeAsync(memory, session->stream);
  forget_error();
}

int32_t zero(CudaSession* session, void* to, int64_t bytes, CudaFault* fault) {
  if (enter_alone(session, "zeroing", fault) != kCudaOk) return fault->status;
  CUDA_TRY(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), session->stream), "zeroing");
  return kCudaOk;
}

/// Until an event has happened; passes a cancelled job on to the kernels meanwhile.
int32_t wait_for(CudaSession* session, cudaEvent_t event, CudaFault* fault) {
  for (int spins = 0;; ++spins) {
    const cudaError_t state = cudaEventQuery(event);
    if (state == cudaSuccess) break;
    if (state != cudaErrorNotReady) return cuda_check(state, "waiting for the device", fault);
    // NVIDIA's guide says that this is no error that is remembered.
    forget_error();
    if (session->cancel != nullptr && session->cancel->load(std::memory_order_relaxed))
      *session->flag = 1;
    if (spins > kSpins) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return kCudaOk;
}

int32_t wait(CudaSession* session, CudaFault* fault) {
  if (enter_alone(session, "waiting for the device", fault) != kCudaOk) return fault->status;
  CUDA_TRY(cudaEventRecord(session->reached, session->stream), "waiting for the device");
  return wait_for(session, session->reached, fault);
}

/// The next staging buffer, once the copy that used it last is done.
int32_t take_staging(CudaSession* session, CudaStaging** staging, CudaFault* fault) {
  *staging = &session->staging[session->next_staging];
  session->next_staging = 1 - session->next_staging;
  return wait_for(session, (*staging)->done, fault);
}

int32_t copy_in(CudaSession* session, const void* from, int64_t bytes, void* to, CudaFault* fault) {
  if (enter_alone(session, "a copy to the device", fault) != kCudaOk) return fault->status;
  for (int64_t at = 0; at < bytes; at += kStagingBytes) {
    const auto size = static_cast<size_t>(bytes - at < kStagingBytes ? bytes - at : kStagingBytes);
    CudaStaging* staging = nullptr;
    if (take_staging(session, &staging, fault) != kCudaOk) return fault->status;
    std::memcpy(staging->pinned, static_cast<const char*>(from) + at, size);
    CUDA_TRY(cudaMemcpyAsync(static_cast<char*>(to) + at, staging->pinned, size,
                             cudaMemcpyHostToDevice, session->stream),
             "a copy to the device");
    CUDA_TRY(cudaEventRecord(staging->done, session->stream), "a copy to the device");
  }
  return kCudaOk;
}

/// One buffer is emptied by the host while the next piece is on its way to the other.
int32_t copy_out(CudaSession* session, const void* from, int64_t bytes, void* to,
                 CudaFault* fault) {
  if (enter_alone(session, "a copy from the device", fault) != kCudaOk) return fault->status;
  CudaStaging* pending = nullptr;
  int64_t pending_at = 0;
  size_t pending_size = 0;
  for (int64_t at = 0; at < bytes || pending != nullptr; at += kStagingBytes) {
    CudaStaging* staging = nullptr;
    size_t size = 0;
    if (at < bytes) {
      size = static_cast<size_t>(bytes - at < kStagingBytes ? bytes - at : kStagingBytes);
      if (take_staging(session, &staging, fault) != kCudaOk) return fault->status;
      CUDA_TRY(cudaMemcpyAsync(staging->pinned, static_cast<const char*>(from) + at, size,
                               cudaMemcpyDeviceToHost, session->stream),
               "a copy from the device");
      CUDA_TRY(cudaEventRecord(staging->done, session->stream), "a copy from the device");
    }
    if (pending != nullptr) {
      if (wait_for(session, pending->done, fault) != kCudaOk) return fault->status;
      std::memcpy(static_cast<char*>(to) + pending_at, pending->pinned, pending_size);
    }
    pending = staging;
    pending_at = at;
    pending_size = size;
  }
  return kCudaOk;
}

int32_t copy(CudaSession* session, const void* from, int64_t bytes, void* to, CudaFault* fault) {
  if (enter_alone(session, "a copy on the device", fault) != kCudaOk) return fault->status;
  CUDA_TRY(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                           session->stream),
           "a copy on the device");
  return kCudaOk;
}

/// A cancelled job's kernels have ended by the time the next one's flag comes.
void set_cancel(CudaSession* session, const void* flag) {
  if (*session->flag != 0) {
    cudaSetDevice(session->device);
    cudaStreamSynchronize(session->stream);
    forget_error();
    *session->flag = 0;
  }
  session->cancel = static_cast<const std::atomic<bool>*>(flag);
}

const void* cancel_flag(CudaSession* session) { return session->device_flag; }

int32_t launch(CudaSession* session, int32_t operation, int32_t dtype, const void* arguments,
               int64_t bytes, CudaFault* fault) {
  if (enter(session, fault) != kCudaOk) return fault->status;
  if (operation >= kCudaRecurrent)
    return launch_recurrent(session, operation, dtype, arguments, bytes, fault);
  return launch_operation(session, operation, dtype, arguments, bytes, fault);
}

int32_t begin_record(CudaSession* session, CudaFault* fault) {
  if (enter_alone(session, "recording launches", fault) != kCudaOk) return fault->status;
  CUDA_TRY(cudaStreamBeginCapture(session->stream, cudaStreamCaptureModeThreadLocal),
           "recording launches");
  session->recording = true;
  return kCudaOk;
}

int32_t end_record(CudaSession* session, CudaRecord** record, CudaFault* fault) {
  session->recording = false;
  if (enter(session, fault) != kCudaOk) return fault->status;
  cudaGraph_t noted = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(session->stream, &noted);
  if (record == nullptr) {
    if (noted != nullptr) cudaGraphDestroy(noted);
    forget_error();
    return kCudaOk;
  }
  CUDA_TRY(ended, "recording launches");
  auto* made = new (std::nothrow) CudaRecord;
  const cudaError_t result =
      made == nullptr ? cudaErrorMemoryAllocation : cudaGraphInstantiate(&made->graph, noted, 0);
  cudaGraphDestroy(noted);
  if (result != cudaSuccess) delete made;
  CUDA_TRY(result, "a record of launches");
  *record = made;
  return kCudaOk;
}

int32_t replay(CudaSession* session, CudaRecord* record, CudaFault* fault) {
  if (enter(session, fault) != kCudaOk) return fault->status;
  CUDA_TRY(cudaGraphLaunch(record->graph, session->stream), "a record of launches");
  return kCudaOk;
}

void drop_record(CudaSession* session, CudaRecord* record) {
  if (record == nullptr) return;
  cudaSetDevice(session->device);
  cudaStreamSynchronize(session->stream);
  cudaGraphExecDestroy(record->graph);
  forget_error();
  delete record;
}

int32_t blas(CudaSession* session, CudaBlasInfo* info, CudaFault* fault) {
  if (enter(session, fault) != kCudaOk) return fault->status;
  const char* const given = std::getenv("LOOKBACK_CUBLAS");
  const int32_t status = session->blas.open(session, kBlasMemory, session->stream, given, fault);
  *info = session->blas.info();
  return status;
}

int32_t count_clusters(CudaSession* session, int32_t dtype, const void* arguments, int64_t bytes,
                       int32_t* count, CudaFault* fault) {
  if (enter(session, fault) != kCudaOk) return fault->status;
  return count_loop_clusters(session, dtype, arguments, bytes, count, fault);
}

}  // namespace
}  // namespace lookback

#if !defined(LOOKBACK_BUILD)
#define LOOKBACK_BUILD "unknown"
#endif

extern "C" __attribute__((visibility("default"))) const lookback::CudaTable* lookback_cuda_table() {
  using namespace lookback;
  static const CudaTable table = {kCudaApiVersion,
                                  sizeof(CudaTable),
                                  cuda_layout(),
                                  LOOKBACK_BUILD,
                                  device_count,
                                  device_info,
                                  open_session,
                                  close_session,
                                  allocate,
                                  release,
                                  zero,
                                  copy_in,
                                  copy_out,
                                  copy,
                                  wait,
                                  set_cancel,
                                  cancel_flag,
                                  launch,
                                  begin_record,
                                  end_record,
                                  replay,
                                  drop_record,
                                  blas,
                                  count_clusters};
  return &table;
}
