# Finds nvcc. The device library itself is not part of the build yet; what needs nvcc today is the check that the cell
# headers pass through its device compiler (target lookback_cuda_check).
set(LOOKBACK_CUDA_ARCHITECTURES 80 90)
string(TOLOWER "${LOOKBACK_CUDA}" LOOKBACK_CUDA)
if(NOT LOOKBACK_CUDA MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "LOOKBACK_CUDA is '${LOOKBACK_CUDA}'; expected auto, on or off.")
endif()

if(NOT LOOKBACK_CUDA STREQUAL "off")
  find_program(LOOKBACK_NVCC nvcc
    HINTS $ENV{CUDACXX} $ENV{CUDA_PATH}/bin $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(NOT LOOKBACK_NVCC AND LOOKBACK_CUDA STREQUAL "on")
    message(FATAL_ERROR "LOOKBACK_CUDA=on, but nvcc was found neither on the PATH nor under CUDA_PATH or CUDA_HOME. "
      "Install the CUDA toolkit, or set LOOKBACK_CUDA=off to build for the CPU only.")
  endif()
endif()

if(LOOKBACK_NVCC)
  set(cuda_checks)
  foreach(arch IN LISTS LOOKBACK_CUDA_ARCHITECTURES)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/cells_cuda.sm_${arch}.o")
    add_custom_command(OUTPUT "${object}"
      COMMAND "${LOOKBACK_NVCC}" -std=c++20 -O3 -arch=sm_${arch} -I "${PROJECT_SOURCE_DIR}/native"
        -Werror all-warnings -MD -MF "${object}.d" -c "${PROJECT_SOURCE_DIR}/test/native/cells_cuda.cu" -o "${object}"
      DEPENDS test/native/cells_cuda.cu
      DEPFILE "${object}.d"
      COMMENT "nvcc: cell headers for sm_${arch}")
    list(APPEND cuda_checks "${object}")
  endforeach()
  add_custom_target(lookback_cuda_check DEPENDS ${cuda_checks})
endif()
