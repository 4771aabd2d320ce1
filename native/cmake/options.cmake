# Flags that every target of ours is compiled with, and those of each instruction set.
# binding.gyp repeats them; test/unit/build.test.ts holds the two equal.

# -ffp-contract=off: a multiply and an add are fused where the source says so and nowhere else, so that results depend
# on neither the compiler's mood nor the optimisation level.
set(LOOKBACK_FLAGS -O3 -ffp-contract=off -fno-math-errno)

# Kernels are written in vectors. What the compiler's own vectorizer and loop unswitching made of them ran no faster, and
# took a fifth of the time to compile (docs/adr/0020).
set(LOOKBACK_KERNEL_FLAGS -fno-tree-vectorize -fno-unswitch-loops)
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(LOOKBACK_KERNEL_FLAGS)
endif()

set(LOOKBACK_ISA_FLAGS_generic)
set(LOOKBACK_ISA_FLAGS_avx2 -mavx2 -mfma)
set(LOOKBACK_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)

set(LOOKBACK_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
if(LOOKBACK_WERROR)
  list(APPEND LOOKBACK_WARNINGS -Werror)
endif()

set(LOOKBACK_SANITIZE_FLAGS)
if(LOOKBACK_SANITIZE)
  # -O1 comes after -O3 and wins: instrumented kernels take minutes to optimise, and nobody waits for their speed.
  set(LOOKBACK_SANITIZE_FLAGS
    -O1 -g1 -fsanitize=${LOOKBACK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

function(lookback_options target)
  set_target_properties(${target} PROPERTIES
    CXX_STANDARD 20
    CXX_STANDARD_REQUIRED ON
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/native")
  target_compile_options(${target} PRIVATE ${LOOKBACK_FLAGS} ${LOOKBACK_WARNINGS} ${LOOKBACK_SANITIZE_FLAGS})
  target_link_options(${target} PRIVATE ${LOOKBACK_SANITIZE_FLAGS})
endfunction()
