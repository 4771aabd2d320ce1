/// The CUDA library as this process finds it: a file beside the addon, loaded when it is first
/// asked for.
#pragma once

#include <string>
#include <vector>

#include "backend/cuda/api.h"

namespace lookback {

/// The library's table with at least one device that it can use. ERR_DEVICE with the one reason why
/// not; asked again, it looks again.
const CudaTable& cuda_library();

/// Its devices, for `devices()` and `doctor`; ERR_DEVICE likewise.
std::vector<CudaDeviceInfo> cuda_devices();

/// cuBLAS as a session on the first device opens it, for `doctor`. ERR_DEVICE likewise, ERR_MEMORY.
CudaBlasInfo cuda_blas();

/// Where the library is looked for: LOOKBACK_CUDA_LIBRARY, else beside the file that this code is
/// in.
std::string cuda_library_path();

/// Loads a library from a path and checks its table. ERR_DEVICE. For tests; `cuda_library` is what
/// everything else asks.
const CudaTable& load_cuda_table(const std::string& path);

}  // namespace lookback
