# Native benches: every bench/native/*.cc is a program of its own.
file(GLOB bench_files CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" bench/native/*.cc)
add_custom_target(lookback_benches)
# With the device 'emulated', whatever runs on a GPU can be tried without one.
set(bench_core lookback_core)
if(LOOKBACK_EMULATED)
  set(bench_core lookback_core_emulated)
endif()
foreach(file IN LISTS bench_files)
  get_filename_component(name "${file}" NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL "${file}")
  lookback_options(bench_${name})
  target_link_libraries(bench_${name} PRIVATE ${bench_core})
  add_dependencies(lookback_benches bench_${name})
endforeach()
# The roof is what the machine has, not what the released kernels may use; bench/roofline.ts builds it the same way.
target_compile_options(bench_roofline PRIVATE -march=native -ffp-contract=fast)

# The roof of a GPU: a program of nvcc alone.
if(TARGET lookback_cuda)
  set(gpu_roofline "${CMAKE_CURRENT_BINARY_DIR}/cuda/gpu_roofline")
  add_custom_command(OUTPUT "${gpu_roofline}"
    COMMAND ${CMAKE_COMMAND} "-DLOG=${gpu_roofline}.log" -P "${PROJECT_SOURCE_DIR}/native/cmake/nvcc.cmake" --
      "${LOOKBACK_NVCC}" ${LOOKBACK_NVCC_FLAGS} -cudart static
      "${PROJECT_SOURCE_DIR}/bench/native/gpu_roofline.cu" -o "${gpu_roofline}"
    DEPENDS bench/native/gpu_roofline.cu
    COMMENT "nvcc: bench/native/gpu_roofline.cu"
    VERBATIM)
  add_custom_target(bench_gpu_roofline DEPENDS "${gpu_roofline}")
endif()
