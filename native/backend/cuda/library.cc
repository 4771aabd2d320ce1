#include "backend/cuda/library.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <mutex>

#include "backend/cuda/device.h"
#include "base/error.h"

namespace lookback {
namespace {

constexpr char kName[] = "lookback_cuda.so";

std::mutex mutex;
const CudaTable* loaded = nullptr;

bool exists(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0;
}

/// The devices that the library can use, or the reason why there are none.
int32_t usable_devices(const CudaTable& table) {
  CudaFault fault = {};
  int32_t count = 0;
  if (table.device_count(&count, &fault) != kCudaOk) {
    REQUIRE(fault.status != kCudaOldDriver, kDevice, fault.message);
    REQUIRE(fault.status != kCudaNoDevice, kDevice, "no CUDA device was found (", fault.message,
            ")");
    throw_fault(fault, "the devices");
  }
  REQUIRE(count > 0, kDevice, "no CUDA device was found");
  return count;
}

}  // namespace

std::string cuda_library_path() {
  if (const char* given = std::getenv("LOOKBACK_CUDA_LIBRARY")) return given;
  Dl_info info = {};
  // Any address within this file will do.
  if (dladdr(reinterpret_cast<const void*>(&mutex), &info) == 0 || info.dli_fname == nullptr)
    return kName;
  const std::string own = info.dli_fname;
  const size_t slash = own.rfind('/');
  return slash == std::string::npos ? kName : own.substr(0, slash + 1) + kName;
}

const CudaTable& load_cuda_table(const std::string& path) {
  REQUIRE(exists(path), kDevice, "the CUDA library is not built (", path,
          " is not there); npx lookback build --cuda builds it where nvcc is installed");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    fail(ErrorCode::kDevice,
         text("the CUDA library ", path, " does not load: ", reason ? reason : "no reason given"));
  }
  const auto table = reinterpret_cast<CudaTableFunction>(dlsym(library, kCudaTableSymbol));
  REQUIRE(table != nullptr, kDevice, "the CUDA library ", path, " is of another build (it has no ",
          kCudaTableSymbol, "); build it again: npx lookback build --cuda");
  const CudaTable* found = table();
  require_cuda_table(found, "the CUDA library " + path);
  return *found;
}

const CudaTable& cuda_library() {
  const std::lock_guard<std::mutex> lock(mutex);
  const CudaTable& table = loaded != nullptr ? *loaded : load_cuda_table(cuda_library_path());
  usable_devices(table);
  loaded = &table;
  return table;
}

std::vector<CudaDeviceInfo> cuda_devices() {
  const CudaTable& table = cuda_library();
  std::vector<CudaDeviceInfo> list(static_cast<size_t>(usable_devices(table)));
  for (size_t i = 0; i < list.size(); ++i) {
    CudaFault fault = {};
    if (table.device_info(static_cast<int32_t>(i), &list[i], &fault) != kCudaOk)
      throw_fault(fault, "a device");
  }
  return list;
}

CudaBlasInfo cuda_blas() { return CudaDevice(cuda_library()).blas(); }

}  // namespace lookback
