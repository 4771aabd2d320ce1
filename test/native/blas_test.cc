/// Opening cuBLAS, and giving it products that lie row by row, with a library that stands for it.
#include "backend/cuda/blas.h"

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "native/check.h"
#include "native/fake_cublas.h"

namespace lookback {
namespace {

std::set<void*> blocks;
bool no_memory = false;

int32_t allocate(CudaSession*, int64_t bytes, int32_t, void** memory, CudaFault* fault) {
  if (no_memory) return fault->status = kCudaNoMemory;
  *memory = std::aligned_alloc(256, static_cast<size_t>(bytes));
  blocks.insert(*memory);
  return kCudaOk;
}
void release(CudaSession*, void* memory) {
  blocks.erase(memory);
  std::free(memory);
}
constexpr BlasMemory kMemory = {4096, allocate, release};

/// cuBLAS as a session has it.
struct Opened {
  explicit Opened(const char* given) { status = open(given); }
  ~Opened() { blas.close(nullptr, kMemory); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  int32_t open(const char* given) { return blas.open(nullptr, kMemory, this, given, &fault); }
  std::string reason() const { return blas.info().reason; }
  std::string path() const { return blas.info().path; }

  CudaBlas blas;
  CudaFault fault = {};
  int32_t status = kCudaOk;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// How a matrix of rows x cols lies, with a gap of 3 numbers between lines where `apart`.
struct Layout {
  int64_t row, col, size;
};
Layout layout(int64_t rows, int64_t cols, bool transposed, bool apart) {
  const int64_t gap = apart ? 3 : 0;
  if (transposed) return {1, rows + gap, cols * (rows + gap)};
  return {cols + gap, 1, rows * (cols + gap)};
}

template <class S>
std::vector<S> numbers(int64_t count, int seed) {
  std::vector<S> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(static_cast<S>((i * 37 + seed * 11) % 17 - 8) / S(8));
  return out;
}

/// Entries are eighths below 1 in magnitude, so that both sides are exact.
template <class S>
void check_product(const Opened& opened, int64_t m, int64_t n, int64_t k, int layouts, S beta) {
  const bool apart = (layouts & 4) != 0;
  const Layout la = layout(m, k, (layouts & 1) != 0, apart);
  const Layout lb = layout(k, n, (layouts & 2) != 0, apart);
  const Layout lc = layout(m, n, false, apart);
  const std::vector<S> a = numbers<S>(la.size, 1), b = numbers<S>(lb.size, 2);
  const std::vector<S> before = numbers<S>(lc.size, 3);
  std::vector<S> c = before, expected = before;
  if (beta == S(0)) c.assign(c.size(), std::numeric_limits<S>::quiet_NaN());
  const Gemm<S> g{m,        n,      k,      a.data(), la.row,   la.col,
                  b.data(), lb.row, lb.col, beta,     c.data(), lc.row};
  CudaFault fault = {};
  CHECK_EQUAL(opened.blas.multiply(g, &fault), int32_t{kCudaOk});
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      S sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += a[static_cast<size_t>(i * la.row + l * la.col)] *
               b[static_cast<size_t>(l * lb.row + j * lb.col)];
      }
      S& to = expected[static_cast<size_t>(i * lc.row + j)];
      to = sum + beta * to;
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < lc.row; ++j) {
      if (j >= n && beta == S(0)) continue;
      const auto at = static_cast<size_t>(i * lc.row + j);
      CHECK_EQUAL(c[at], expected[at]);
    }
  }
}

TEST(products_of_every_layout) {
  const Opened opened(FAKE_CUBLAS);
  for (const int64_t m : {1, 2, 7}) {
    for (const int64_t n : {1, 3, 5}) {
      for (const int64_t k : {1, 4, 9}) {
        for (int layouts = 0; layouts < 8; ++layouts) {
          for (const int beta : {0, 1, 2}) {
            check_product<float>(opened, m, n, k, layouts, static_cast<float>(beta));
            check_product<double>(opened, m, n, k, layouts, beta);
          }
        }
      }
    }
  }
}

TEST(a_matrix_is_transposed_where_its_columns_lie_one_behind_the_other) {
  const Gemm<float> plain{5, 6, 7, nullptr, 7, 1, nullptr, 6, 1, 0, nullptr, 6};
  Gemm<float> g = plain;
  CHECK(blas_shape(g)->transpose_a == 0 && blas_shape(g)->transpose_b == 0);
  g.a_row = 1, g.a_col = 5;
  CHECK(blas_shape(g)->transpose_a == 1 && blas_shape(g)->lda == 5);
  g.b_row = 1, g.b_col = 8;
  CHECK(blas_shape(g)->transpose_b == 1 && blas_shape(g)->ldb == 8);
  CHECK(blas_shape(g)->m == 6 && blas_shape(g)->n == 5 && blas_shape(g)->k == 7);
}

TEST(products_that_cublas_cannot_form) {
  const Gemm<float> plain{5, 6, 7, nullptr, 7, 1, nullptr, 6, 1, 0, nullptr, 6};
  const auto refused = [&](const char* what, auto change) {
    Gemm<float> g = plain;
    change(g);
    if (blas_shape(g)) check::fail(what, 0, "is taken");
  };
  CHECK(blas_shape(plain).has_value());
  refused("no rows", [](Gemm<float>& g) { g.m = 0; });
  refused("no columns", [](Gemm<float>& g) { g.n = 0; });
  refused("no sum", [](Gemm<float>& g) { g.k = 0; });
  refused("A in steps of two", [](Gemm<float>& g) { g.a_row = 14, g.a_col = 2; });
  refused("B in steps of two", [](Gemm<float>& g) { g.b_row = 12, g.b_col = 2; });
  refused("rows of A that overlap", [](Gemm<float>& g) { g.a_row = 6; });
  refused("one row of A for all", [](Gemm<float>& g) { g.a_row = 0; });
  refused("rows of C that overlap", [](Gemm<float>& g) { g.c_row = 5; });
  refused("more rows than 32 bits", [](Gemm<float>& g) { g.m = int64_t{1} << 31; });
  refused("rows too far apart", [](Gemm<float>& g) { g.c_row = int64_t{1} << 31; });
  Gemm<float> one = plain;
  one.m = 1, one.a_row = 0, one.c_row = 0;
  CHECK(blas_shape(one).has_value());
}

TEST(a_product_gains_where_its_order_is_free_and_it_is_large) {
  Gemm<double> g{1024, 1024, 1, nullptr, 1, 1, nullptr, 1024, 1, 0, nullptr, 1024, true};
  CHECK(blas_gains(g));
  g.any_order = false;
  CHECK(!blas_gains(g));
  g.any_order = true;
  g.m = 1023;
  CHECK(!blas_gains(g));
  g.m = g.n = g.k = int64_t{1} << 40;
  CHECK(blas_gains(g));
}

TEST(the_library_says_its_version_and_where_it_lies) {
  const Opened opened(FAKE_CUBLAS);
  CHECK_EQUAL(opened.status, int32_t{kCudaOk});
  CHECK_EQUAL(opened.blas.info().used, 1);
  CHECK_EQUAL(opened.blas.info().version, 130102);
  CHECK_EQUAL(opened.path(), FAKE_CUBLAS);
  CHECK_EQUAL(opened.reason(), "");
}

// The sanitizers' own dlopen does not look along this program's run path.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/// This program's run path has the fake under cuBLAS' own name.
TEST(without_a_name_the_loader_looks_for_it) {
  for (const char* given : {static_cast<const char*>(nullptr), ""}) {
    const Opened opened(given);
    CHECK(has(opened.path(), "/libcublas.so.13"));
    CHECK_EQUAL(opened.blas.info().used, 1);
  }
}
#endif

TEST(why_it_is_not_used) {
  const Opened off("off"), absent("/nowhere/libcublas.so"), foreign("libm.so.6"),
      old(FAKE_CUBLAS_OLD);
  CHECK_EQUAL(off.reason(), "switched off by LOOKBACK_CUBLAS");
  CHECK(has(absent.reason(), "LOOKBACK_CUBLAS does not load: /nowhere/libcublas.so"));
  CHECK_EQUAL(foreign.reason(), "the library is too old: it has no cublasCreate_v2");
  CHECK_EQUAL(old.reason(), "the library is too old: it has no cublasSetWorkspace_v2");
  CHECK_EQUAL(old.path(), FAKE_CUBLAS_OLD);
  for (const Opened* each : {&off, &absent, &foreign, &old}) {
    CHECK_EQUAL(each->status, int32_t{kCudaOk});
    CHECK_EQUAL(each->blas.info().used, 0);
  }
  CHECK_EQUAL(blocks.size(), size_t{0});
}

TEST(what_fails_in_opening_is_the_reason_and_leaves_nothing_behind) {
  for (const char* function : {"cublasCreate_v2", "cublasGetVersion_v2", "cublasSetStream_v2",
                               "cublasSetWorkspace_v2", "cublasSetMathMode"}) {
    const FailingCublas failing(function);
    const Opened opened(FAKE_CUBLAS);
    CHECK_EQUAL(opened.status, int32_t{kCudaOk});
    CHECK_EQUAL(opened.blas.info().used, 0);
    CHECK_EQUAL(opened.reason(), text(function, " gives CUBLAS_STATUS_NOT_INITIALIZED (1)"));
    CHECK_EQUAL(fake_handles(), 0);
    CHECK_EQUAL(blocks.size(), size_t{0});
  }
}

TEST(it_is_opened_once) {
  Opened opened("off");
  CHECK_EQUAL(opened.open(FAKE_CUBLAS), int32_t{kCudaOk});
  CHECK_EQUAL(opened.blas.info().used, 0);
}

TEST(without_memory_for_a_workspace_it_is_tried_again) {
  no_memory = true;
  Opened opened(FAKE_CUBLAS);
  CHECK_EQUAL(opened.status, int32_t{kCudaNoMemory});
  no_memory = false;
  CHECK_EQUAL(opened.open(FAKE_CUBLAS), int32_t{kCudaOk});
  CHECK_EQUAL(opened.blas.info().used, 1);
}

TEST(closing_gives_everything_back) {
  {
    const Opened opened(FAKE_CUBLAS);
    CHECK_EQUAL(fake_handles(), 1);
    CHECK_EQUAL(blocks.size(), size_t{1});
  }
  CHECK_EQUAL(fake_handles(), 0);
  CHECK_EQUAL(blocks.size(), size_t{0});
}

TEST(a_product_that_fails_is_a_fault_with_cublas_word) {
  const Opened opened(FAKE_CUBLAS), closed("off");
  float number = 2;
  const Gemm<float> g{1, 1, 1, &number, 1, 1, &number, 1, 1, 0, &number, 1};
  CudaFault fault = {};
  CHECK_EQUAL(closed.blas.multiply(g, &fault), int32_t{kCudaFailed});
  const FailingCublas failing("cublasSgemm_v2");
  CHECK_EQUAL(opened.blas.multiply(g, &fault), int32_t{kCudaFailed});
  CHECK_EQUAL(std::string(fault.message),
              "a product: cublasSgemm_v2 gives CUBLAS_STATUS_EXECUTION_FAILED (13)");
}

}  // namespace
}  // namespace lookback
