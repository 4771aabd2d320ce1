/// The library that stands for cuBLAS in tests (test/support/fake_cublas.cc), as a test asks for
/// it.
#pragma once

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"

namespace lookback {

/// What its functions that count give; the library may be loaded by now or not.
inline int fake_count(const char* function) {
  void* const library = dlopen(FAKE_CUBLAS, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr, kInternal, "no ", FAKE_CUBLAS);
  return reinterpret_cast<int (*)()>(dlsym(library, function))();
}
inline int fake_products() { return fake_count("fake_cublas_products"); }
inline int fake_handles() { return fake_count("fake_cublas_handles"); }

/// While it lives, that function of cuBLAS fails.
class FailingCublas {
 public:
  explicit FailingCublas(const char* function) { setenv("FAKE_CUBLAS", function, 1); }
  ~FailingCublas() { unsetenv("FAKE_CUBLAS"); }
  FailingCublas(const FailingCublas&) = delete;
  FailingCublas& operator=(const FailingCublas&) = delete;
};

}  // namespace lookback
