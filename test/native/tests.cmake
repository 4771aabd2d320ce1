# Native tests: every .cc in these folders is a program of its own that exits 0 when it passes. Those named *emulated*
# need the device 'emulated'; those in isa_tests are compiled once for each instruction set, as the kernels are.
file(GLOB test_files CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
  test/native/*.cc test/gradcheck/*.cc test/parity/*.cc test/property/*.cc)
set(isa_tests lanes_test across_test gemm_test sequence_test)
set(test_core lookback_core)
if(LOOKBACK_EMULATED)
  set(test_core lookback_core_emulated)
else()
  list(FILTER test_files EXCLUDE REGEX "emulated")
endif()

add_custom_target(lookback_tests)

# lookback_add_test(<name> <source>...)
function(lookback_add_test name)
  add_executable(test_${name} EXCLUDE_FROM_ALL ${ARGN})
  lookback_options(test_${name})
  target_include_directories(test_${name} PRIVATE test)
  target_link_libraries(test_${name} PRIVATE ${test_core} lookback_eigen)
  add_dependencies(lookback_tests test_${name})
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 1200 SKIP_REGULAR_EXPRESSION "^SKIPPED: ")
endfunction()

foreach(isa IN LISTS LOOKBACK_KERNEL_ISAS)
  add_library(test_gate_${isa} OBJECT EXCLUDE_FROM_ALL test/support/isa_gate.cc)
  target_compile_definitions(test_gate_${isa} PRIVATE LOOKBACK_GATE="${isa}")
endforeach()

foreach(file IN LISTS test_files)
  get_filename_component(name "${file}" NAME_WE)
  if(NOT name IN_LIST isa_tests)
    lookback_add_test(${name} "${file}")
    continue()
  endif()
  foreach(isa IN LISTS LOOKBACK_KERNEL_ISAS)
    lookback_add_test(${name}_${isa} "${file}" $<TARGET_OBJECTS:test_gate_${isa}>)
    target_compile_options(test_${name}_${isa} PRIVATE ${LOOKBACK_ISA_FLAGS_${isa}})
    target_compile_definitions(test_${name}_${isa} PRIVATE LOOKBACK_ISA=${isa})
    set_tests_properties(${name}_${isa} PROPERTIES ENVIRONMENT LOOKBACK_ISA=${isa})
  endforeach()
endforeach()

# The longest first: the last of them would otherwise run alone.
foreach(name emulated_parity_test row_property_test thread_property_test device_model_emulated_test)
  if(TARGET test_${name})
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endforeach()

# AddressSanitizer would give each of a hundred thousand fibers a heap for its frames.
if(LOOKBACK_SANITIZE MATCHES "address")
  foreach(file IN LISTS test_files)
    if(file MATCHES "emulated")
      get_filename_component(name "${file}" NAME_WE)
      set_tests_properties(${name} PROPERTIES
        ENVIRONMENT_MODIFICATION "ASAN_OPTIONS=string_append::detect_stack_use_after_return=0")
    endif()
  endforeach()
endif()

# What stands for cuBLAS (test/support/fake_cublas.cc), under the name that the loader is asked for, and an old one.
set(fake_folder "${CMAKE_CURRENT_BINARY_DIR}/fake_cublas")
foreach(fake fake_cublas fake_cublas_old)
  add_library(${fake} MODULE EXCLUDE_FROM_ALL test/support/fake_cublas.cc)
  lookback_options(${fake})
  set_target_properties(${fake} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY "${fake_folder}")
endforeach()
set_target_properties(fake_cublas PROPERTIES OUTPUT_NAME libcublas SUFFIX .so.13)
target_compile_definitions(fake_cublas_old PRIVATE FAKE_OLD=1)
foreach(name blas_test blas_emulated_test)
  if(TARGET test_${name})
    add_dependencies(test_${name} fake_cublas fake_cublas_old)
    target_compile_definitions(test_${name} PRIVATE
      FAKE_CUBLAS="$<TARGET_FILE:fake_cublas>" FAKE_CUBLAS_OLD="$<TARGET_FILE:fake_cublas_old>")
    target_link_options(test_${name} PRIVATE "-Wl,-rpath,${fake_folder}")
  endif()
endforeach()
