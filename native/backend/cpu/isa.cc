#include "backend/cpu/isa.h"

#include <cstdlib>

#include "backend/cpu/threads.h"
#include "base/error.h"

namespace lookback {
namespace {

struct Choice {
  Isa isa = Isa::kGeneric;
  std::string reason;
};

bool supported(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("fma");
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kGeneric:
      return true;
  }
#endif
  return isa == Isa::kGeneric;
}

Choice choose() {
  const char* wanted = std::getenv("LOOKBACK_ISA");
  if (wanted != nullptr && *wanted != '\0') {
    for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
      if (std::string(wanted) != isa_name(isa)) continue;
      REQUIRE(supported(isa), kDevice, "LOOKBACK_ISA=", wanted,
              " is not supported by this processor; unset it to let Lookback choose");
      return {isa, "LOOKBACK_ISA is set"};
    }
    fail(ErrorCode::kOption,
         text("LOOKBACK_ISA=", wanted, " is not known; expected generic, avx2 or avx512"));
  }
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (supported(isa)) return {isa, "the best that this processor supports"};
  }
#if defined(__aarch64__)
  return {Isa::kGeneric, "the baseline of this processor, with NEON"};
#else
  return {Isa::kGeneric, "the processor has neither AVX2 with FMA nor AVX-512"};
#endif
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

Isa chosen_isa() { return choice().isa; }

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "generic";
}

CpuReport cpu_report() {
  CpuReport report;
  report.isa = isa_name(chosen_isa());
  report.reason = choice().reason;
#if defined(__x86_64__)
  report.available = {"generic", "avx2", "avx512"};
#else
  report.available = {"generic"};
#endif
  const char* why = "";
  report.threads = default_threads(&why);
  report.threads_reason = why;
  return report;
}

}  // namespace lookback
