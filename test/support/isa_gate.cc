// Linked into tests that are compiled for one instruction set (LOOKBACK_GATE). It ends the program,
// with a message, before any such instruction runs on a processor that lacks it: this file is
// compiled for the baseline, and its constructor runs ahead of all others.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool supported() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (std::strcmp(LOOKBACK_GATE, "avx2") == 0) return avx2;
  if (std::strcmp(LOOKBACK_GATE, "avx512") == 0) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return true;
}

__attribute__((constructor(101))) void gate() {
  if (supported()) return;
  std::printf("SKIPPED: this processor lacks %s\n", LOOKBACK_GATE);
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace
