#include "backend/cuda/blas.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "backend/cuda/faults.h"

namespace lookback {
namespace {

constexpr int kOpN = 0, kOpT = 1;
/// Precision of the arguments or better; TF32 is another mode.
constexpr int kDefaultMath = 0;

/// The newest first. Without a number it is what a toolkit for building links.
constexpr const char* kNames[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so",
                                  "/usr/local/cuda/lib64/libcublas.so"};

const char* status_name(int status) {
  switch (status) {
    case 1:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case 8:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case 15:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case 16:
      return "CUBLAS_STATUS_LICENSE_ERROR";
    default:
      return "a status without a name";
  }
}

/// "cublasSgemm_v2 gives CUBLAS_STATUS_INVALID_VALUE (7)".
struct StatusText {
  StatusText(const char* function, int status) {
    std::snprintf(text, sizeof text, "%s gives %s (%d)", function, status_name(status), status);
  }
  char text[160];
};

/// The leading dimension of a matrix of `count` lines of `length` numbers, the numbers `step` and
/// the lines `stride` apart; 0 where it has none.
int64_t leading(int64_t step, int64_t length, int64_t stride, int64_t count) {
  if (step != 1 && length != 1) return 0;
  if (count == 1) return std::max<int64_t>(length, 1);
  return stride >= length ? stride : 0;
}

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

/// The first function that a library lacks, or null.
const char* find_all(void* library, BlasFunctions& f) {
  if (!find(library, "cublasCreate_v2", f.create)) return "cublasCreate_v2";
  if (!find(library, "cublasDestroy_v2", f.destroy)) return "cublasDestroy_v2";
  if (!find(library, "cublasGetVersion_v2", f.get_version)) return "cublasGetVersion_v2";
  if (!find(library, "cublasSetStream_v2", f.set_stream)) return "cublasSetStream_v2";
  if (!find(library, "cublasSetWorkspace_v2", f.set_workspace)) return "cublasSetWorkspace_v2";
  if (!find(library, "cublasSetMathMode", f.set_math_mode)) return "cublasSetMathMode";
  if (!find(library, "cublasSgemm_v2", f.sgemm)) return "cublasSgemm_v2";
  if (!find(library, "cublasDgemm_v2", f.dgemm)) return "cublasDgemm_v2";
  return nullptr;
}

int call(const BlasFunctions& f, void* handle, const BlasShape& s, const Gemm<float>& g) {
  const float one = 1;
  return f.sgemm(handle, s.transpose_b, s.transpose_a, s.m, s.n, s.k, &one, g.b, s.ldb, g.a, s.lda,
                 &g.beta, g.c, s.ldc);
}
int call(const BlasFunctions& f, void* handle, const BlasShape& s, const Gemm<double>& g) {
  const double one = 1;
  return f.dgemm(handle, s.transpose_b, s.transpose_a, s.m, s.n, s.k, &one, g.b, s.ldb, g.a, s.lda,
                 &g.beta, g.c, s.ldc);
}

}  // namespace

int64_t& blas_least() {
  static int64_t least = kBlasLeast;
  return least;
}

template <class S>
std::optional<BlasShape> blas_shape(const Gemm<S>& g) {
  if (g.m < 1 || g.n < 1 || g.k < 1) return std::nullopt;
  int64_t ldb = leading(g.b_col, g.n, g.b_row, g.k), lda = leading(g.a_col, g.k, g.a_row, g.m);
  const bool transpose_b = ldb == 0, transpose_a = lda == 0;
  if (transpose_b) ldb = leading(g.b_row, g.k, g.b_col, g.n);
  if (transpose_a) lda = leading(g.a_row, g.m, g.a_col, g.k);
  const int64_t ldc = leading(1, g.n, g.c_row, g.m);
  if (lda == 0 || ldb == 0 || ldc == 0) return std::nullopt;
  if (std::max({g.m, g.n, g.k, lda, ldb, ldc}) > INT32_MAX) return std::nullopt;
  BlasShape shape;
  shape.transpose_b = transpose_b ? kOpT : kOpN;
  shape.transpose_a = transpose_a ? kOpT : kOpN;
  shape.m = static_cast<int>(g.n);
  shape.n = static_cast<int>(g.m);
  shape.k = static_cast<int>(g.k);
  shape.ldb = static_cast<int>(ldb);
  shape.lda = static_cast<int>(lda);
  shape.ldc = static_cast<int>(ldc);
  return shape;
}

template <class S>
bool blas_gains(const Gemm<S>& g) {
  // In double: three sizes of 64 bits may overflow one.
  const double work =
      static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
  return g.any_order && work >= static_cast<double>(blas_least());
}

bool CudaBlas::refuse(const char* what, const char* detail) {
  std::snprintf(info_.reason, sizeof info_.reason, "%s%s", what, detail);
  return false;
}

bool CudaBlas::accept(int status, const char* function) {
  return status == 0 || refuse("", StatusText(function, status).text);
}

bool CudaBlas::load(const char* given) {
  if (given != nullptr && std::strcmp(given, "off") == 0)
    return refuse("", "switched off by LOOKBACK_CUBLAS");
  void* library = nullptr;
  if (given != nullptr && *given != 0) {
    library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    const char* const error = library == nullptr ? dlerror() : nullptr;
    if (library == nullptr)
      return refuse("LOOKBACK_CUBLAS does not load: ", error != nullptr ? error : given);
  }
  for (const char* name : kNames) {
    if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr)
    return refuse("", "no libcublas.so of CUDA 12 or 13 is on the loader's path");
  // It stays loaded: what CUDA registers at exit must find its code.
  const char* const lacking = find_all(library, functions_);
  Dl_info file = {};
  if (functions_.create != nullptr &&
      dladdr(reinterpret_cast<const void*>(functions_.create), &file) != 0)
    std::snprintf(info_.path, sizeof info_.path, "%s", file.dli_fname);
  return lacking == nullptr || refuse("the library is too old: it has no ", lacking);
}

bool CudaBlas::make_handle(void* stream, int64_t bytes) {
  const BlasFunctions& f = functions_;
  if (!accept(f.create(&handle_), "cublasCreate_v2")) {
    handle_ = nullptr;
    return false;
  }
  // The stream first: setting it gives the handle a workspace of the library's own again.
  return accept(f.get_version(handle_, &info_.version), "cublasGetVersion_v2") &&
         accept(f.set_stream(handle_, stream), "cublasSetStream_v2") &&
         accept(f.set_workspace(handle_, workspace_, static_cast<size_t>(bytes)),
                "cublasSetWorkspace_v2") &&
         accept(f.set_math_mode(handle_, kDefaultMath), "cublasSetMathMode");
}

int32_t CudaBlas::open(CudaSession* session, const BlasMemory& memory, void* stream,
                       const char* given, CudaFault* fault) {
  if (tried_) return kCudaOk;
  info_ = CudaBlasInfo();
  if (load(given)) {
    const int32_t status = memory.allocate(session, memory.bytes, 0, &workspace_, fault);
    if (status != kCudaOk) {
      workspace_ = nullptr;
      return status;
    }
    info_.used = make_handle(stream, memory.bytes);
    if (info_.used == 0) close(session, memory);
  }
  tried_ = true;
  return kCudaOk;
}

void CudaBlas::close(CudaSession* session, const BlasMemory& memory) {
  if (handle_ != nullptr) functions_.destroy(handle_);
  handle_ = nullptr;
  memory.release(session, workspace_);
  workspace_ = nullptr;
}

template <class S>
int32_t CudaBlas::multiply(const Gemm<S>& g, CudaFault* fault) const {
  const std::optional<BlasShape> shape = blas_shape(g);
  if (handle_ == nullptr || !shape)
    return set_fault(fault, kCudaFailed, "a product", "it is not one that cuBLAS was opened for");
  const int status = call(functions_, handle_, *shape, g);
  if (status == 0) return kCudaOk;
  const char* const name = sizeof(S) == sizeof(float) ? "cublasSgemm_v2" : "cublasDgemm_v2";
  return set_fault(fault, kCudaFailed, "a product", StatusText(name, status).text);
}

#define LOOKBACK_INSTANTIATE(S)                                 \
  template std::optional<BlasShape> blas_shape(const Gemm<S>&); \
  template bool blas_gains(const Gemm<S>&);                     \
  template int32_t CudaBlas::multiply(const Gemm<S>&, CudaFault*) const;
LOOKBACK_INSTANTIATE(float)
LOOKBACK_INSTANTIATE(double)
#undef LOOKBACK_INSTANTIATE

}  // namespace lookback
