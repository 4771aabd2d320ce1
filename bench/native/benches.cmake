# Native benches: every bench/native/*.cc is a program of its own.
file(GLOB bench_files CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" bench/native/*.cc)
add_custom_target(lookback_benches)
foreach(file IN LISTS bench_files)
  get_filename_component(name "${file}" NAME_WE)
  add_executable(bench_${name} EXCLUDE_FROM_ALL "${file}")
  lookback_options(bench_${name})
  target_link_libraries(bench_${name} PRIVATE lookback_core)
  add_dependencies(lookback_benches bench_${name})
endforeach()
# The roof is what the machine has, not what the released kernels may use; bench/roofline.ts builds it the same way.
target_compile_options(bench_roofline PRIVATE -march=native -ffp-contract=fast)
