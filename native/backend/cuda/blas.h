/// cuBLAS, opened at run time where it is present: nothing of it is needed to build. The GPU's
/// library opens it for its stream, the device on the host for a library that tests bring; which
/// products it is given decides `CudaBackend::gemm`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "backend/cuda/api.h"
#include "ops/gemm.h"

namespace lookback {

/// Products of fewer multiply-adds stay with our own kernel. A single multiprocessor forms so many
/// in 4 us (128 a cycle), little more than a launch takes, so that a better kernel has nothing to
/// gain. By a model, not measured: `scripts/gpu-check.sh device` times both.
constexpr int64_t kBlasLeast = int64_t{1} << 20;

/// What stands for `kBlasLeast`; for tests.
int64_t& blas_least();

/// The workspace that NVIDIA recommends for compute capability 9.0; older devices need less.
constexpr int64_t kBlasWorkspace = int64_t{32} << 20;

/// A product as cuBLAS takes it. It reads memory column by column, where our C is its transpose, so
/// it forms C' = B' A': its first matrix is our B, its m is our n.
struct BlasShape {
  int transpose_b = 0, transpose_a = 0;  ///< CUBLAS_OP_N or CUBLAS_OP_T
  int m = 0, n = 0, k = 0;
  int ldb = 0, lda = 0, ldc = 0;
};

/// Nothing where cuBLAS cannot form the product: no sum to form, a matrix in which neither rows nor
/// columns lie one behind the other, rows that overlap, sizes beyond its 32 bits.
template <class S>
std::optional<BlasShape> blas_shape(const Gemm<S>& g);

/// Whether a product may be cuBLAS' and is large enough to gain by it.
template <class S>
bool blas_gains(const Gemm<S>& g);

/// The functions of cuBLAS that are used (cublas_api.h), by their C signatures. Operations, modes
/// and statuses are enums of C and pass as int; handles and streams are pointers.
struct BlasFunctions {
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*get_version)(void* handle, int* version);
  int (*set_stream)(void* handle, void* stream);
  int (*set_workspace)(void* handle, void* workspace, size_t bytes);
  int (*set_math_mode)(void* handle, int mode);
  int (*sgemm)(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
               const float* alpha, const float* a, int lda, const float* b, int ldb,
               const float* beta, float* c, int ldc);
  int (*dgemm)(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
               const double* alpha, const double* a, int lda, const double* b, int ldb,
               const double* beta, double* c, int ldc);
};

/// The workspace, and where it comes from: those functions of a session's table.
struct BlasMemory {
  int64_t bytes;
  decltype(CudaTable::allocate) allocate;
  decltype(CudaTable::release) release;
};

/// cuBLAS as one session has it. Nothing throws, as behind the table.
class CudaBlas {
 public:
  /// Opens it, the first time only. `given`: a path, "off", or null for the names that the loader
  /// knows. Where it does not open, `info()` has the reason and kCudaOk is returned; only a
  /// workspace that there is no memory for is a fault, and tried again in the next call.
  int32_t open(CudaSession* session, const BlasMemory& memory, void* stream, const char* given,
               CudaFault* fault);
  void close(CudaSession* session, const BlasMemory& memory);
  const CudaBlasInfo& info() const { return info_; }

  /// Queues C = beta C + A B.
  template <class S>
  int32_t multiply(const Gemm<S>& g, CudaFault* fault) const;

 private:
  bool load(const char* given);
  bool make_handle(void* stream, int64_t bytes);
  /// False, with the reason.
  bool refuse(const char* what, const char* detail);
  bool accept(int status, const char* function);

  bool tried_ = false;
  BlasFunctions functions_ = {};
  void* handle_ = nullptr;
  void* workspace_ = nullptr;
  CudaBlasInfo info_ = {};
};

}  // namespace lookback
