/// Stands for cuBLAS in tests: a shared library with its symbols that works on the host's memory,
/// column by column as it does, and refuses what cuBLAS refuses. FAKE_CUBLAS, the name of a
/// function, makes that one fail. Compiled with FAKE_OLD it lacks `cublasSetWorkspace_v2`.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

enum Status : int {
  kSuccess = 0,
  kNotInitialized = 1,
  kInvalidValue = 7,
  kExecutionFailed = 13,
};

struct Handle {
  void* stream = nullptr;
  void* workspace = nullptr;
  size_t bytes = 0;
  int math_mode = -1;
};

int handles = 0;
int products = 0;

bool fails(const char* function) {
  const char* const asked = std::getenv("FAKE_CUBLAS");
  return asked != nullptr && std::strcmp(asked, function) == 0;
}

template <class S>
int multiply(const char* name, void* handle, int transpose_a, int transpose_b, int m, int n, int k,
             const S* alpha, const S* a, int lda, const S* b, int ldb, const S* beta, S* c,
             int ldc) {
  const auto* h = static_cast<const Handle*>(handle);
  // A workspace of its own and exact arithmetic are what results that repeat rest on.
  if (h == nullptr || h->stream == nullptr || h->workspace == nullptr || h->math_mode != 0)
    return kNotInitialized;
  const bool operations = (transpose_a | transpose_b | 1) == 1;
  if (!operations || m < 0 || n < 0 || k < 0 || lda < std::max(1, transpose_a != 0 ? k : m) ||
      ldb < std::max(1, transpose_b != 0 ? n : k) || ldc < std::max(1, m))
    return kInvalidValue;
  if (fails(name)) return kExecutionFailed;
  ++products;
  auto* const workspace = static_cast<char*>(h->workspace);
  workspace[0] = workspace[h->bytes - 1] = 1;
  for (int column = 0; column < n; ++column) {
    for (int row = 0; row < m; ++row) {
      double sum = 0;
      for (int i = k - 1; i >= 0; --i) {
        const int64_t at = transpose_a != 0 ? i + int64_t{row} * lda : row + int64_t{i} * lda;
        const int64_t bt = transpose_b != 0 ? column + int64_t{i} * ldb : i + int64_t{column} * ldb;
        sum += static_cast<double>(a[at]) * static_cast<double>(b[bt]);
      }
      S& to = c[row + int64_t{column} * ldc];
      const S product = *alpha * static_cast<S>(sum);
      to = *beta == S(0) ? product : *beta * to + product;
    }
  }
  return kSuccess;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// For tests: products formed, and handles that are open.
EXPORTED int fake_cublas_products() { return products; }
EXPORTED int fake_cublas_handles() { return handles; }

EXPORTED int cublasCreate_v2(void** handle) {
  if (fails("cublasCreate_v2")) return kNotInitialized;
  *handle = new Handle;
  ++handles;
  return kSuccess;
}

EXPORTED int cublasDestroy_v2(void* handle) {
  delete static_cast<Handle*>(handle);
  --handles;
  return kSuccess;
}

EXPORTED int cublasGetVersion_v2(void* handle, int* version) {
  if (handle == nullptr || fails("cublasGetVersion_v2")) return kNotInitialized;
  *version = 130102;
  return kSuccess;
}

EXPORTED int cublasSetStream_v2(void* handle, void* stream) {
  if (handle == nullptr || fails("cublasSetStream_v2")) return kNotInitialized;
  auto* h = static_cast<Handle*>(handle);
  h->stream = stream;
  // As cuBLAS does: back to a workspace of its own.
  h->workspace = nullptr;
  h->bytes = 0;
  return kSuccess;
}

#if !defined(FAKE_OLD)
EXPORTED int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
  if (handle == nullptr || fails("cublasSetWorkspace_v2")) return kNotInitialized;
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return kInvalidValue;
  auto* h = static_cast<Handle*>(handle);
  h->workspace = workspace;
  h->bytes = bytes;
  return kSuccess;
}
#endif

EXPORTED int cublasSetMathMode(void* handle, int mode) {
  if (handle == nullptr || fails("cublasSetMathMode")) return kNotInitialized;
  static_cast<Handle*>(handle)->math_mode = mode;
  return kSuccess;
}

EXPORTED int cublasSgemm_v2(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
                            const float* alpha, const float* a, int lda, const float* b, int ldb,
                            const float* beta, float* c, int ldc) {
  return multiply("cublasSgemm_v2", handle, transpose_a, transpose_b, m, n, k, alpha, a, lda, b,
                  ldb, beta, c, ldc);
}

EXPORTED int cublasDgemm_v2(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
                            const double* alpha, const double* a, int lda, const double* b, int ldb,
                            const double* beta, double* c, int ldc) {
  return multiply("cublasDgemm_v2", handle, transpose_a, transpose_b, m, n, k, alpha, a, lda, b,
                  ldb, beta, c, ldc);
}
