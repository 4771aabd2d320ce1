# lookback_cuda: the CUDA library, for machines that have nvcc. Nothing else depends on it: the addon loads it from its own
# folder when a model asks for the device. binding.gyp knows nothing of it.
#
# LOOKBACK_CUDA: 'auto' makes the target where nvcc is found, 'on' fails without nvcc and builds it with everything else,
# 'off' does not look.
set(LOOKBACK_CUDA_ARCHITECTURES "80;90" CACHE STRING "Compute capabilities with machine code of their own, ascending")
string(TOLOWER "${LOOKBACK_CUDA}" LOOKBACK_CUDA)
if(NOT LOOKBACK_CUDA MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "LOOKBACK_CUDA is '${LOOKBACK_CUDA}'; expected auto, on or off.")
endif()
if(LOOKBACK_CUDA STREQUAL "off")
  return()
endif()

find_program(LOOKBACK_NVCC nvcc
  HINTS $ENV{CUDACXX} $ENV{CUDA_PATH}/bin $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(NOT LOOKBACK_NVCC)
  if(LOOKBACK_CUDA STREQUAL "on")
    message(FATAL_ERROR "LOOKBACK_CUDA=on, but nvcc was found neither on the PATH nor under CUDA_PATH or CUDA_HOME. "
      "Install the CUDA toolkit, or set LOOKBACK_CUDA=off to build for the CPU only.")
  endif()
  return()
endif()

# Machine code for each architecture, and PTX of the newest for those to come. --fmad=false is what -ffp-contract=off is for
# the host, see options.cmake.
list(GET LOOKBACK_CUDA_ARCHITECTURES -1 newest)
set(LOOKBACK_NVCC_FLAGS -std=c++20 -O3 --fmad=false -Xptxas -v
  -Xcompiler -fPIC,-fvisibility=hidden -I "${PROJECT_SOURCE_DIR}/native"
  "-DLOOKBACK_BUILD=\\\"version ${LOOKBACK_VERSION}\\\"")
if(LOOKBACK_WERROR)
  list(APPEND LOOKBACK_NVCC_FLAGS -Werror all-warnings)
endif()
foreach(arch IN LISTS LOOKBACK_CUDA_ARCHITECTURES)
  list(APPEND LOOKBACK_NVCC_FLAGS -gencode arch=compute_${arch},code=sm_${arch})
endforeach()
list(APPEND LOOKBACK_NVCC_FLAGS -gencode arch=compute_${newest},code=compute_${newest})

# A source is compiled by a script, which keeps what ptxas says of registers and spills beside the object and shows it
# where nvcc fails only.
set(objects)
foreach(source IN LISTS LOOKBACK_CUDA_SOURCES)
  get_filename_component(name "${source}" NAME_WE)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.o")
  add_custom_command(OUTPUT "${object}"
    COMMAND ${CMAKE_COMMAND} "-DLOG=${object}.log" -P "${PROJECT_SOURCE_DIR}/native/cmake/nvcc.cmake" --
      "${LOOKBACK_NVCC}" ${LOOKBACK_NVCC_FLAGS} -MD -MF "${object}.d" -c "${PROJECT_SOURCE_DIR}/${source}" -o "${object}"
    DEPENDS "${source}"
    DEPFILE "${object}.d"
    COMMENT "nvcc: ${source}"
    VERBATIM)
  list(APPEND objects "${object}")
endforeach()
set(library "${PROJECT_SOURCE_DIR}/build/Release/lookback_cuda.so")
add_custom_command(OUTPUT "${library}"
  COMMAND ${CMAKE_COMMAND} -E make_directory "${PROJECT_SOURCE_DIR}/build/Release"
  COMMAND "${LOOKBACK_NVCC}" -shared -cudart static -o "${library}" ${objects}
  DEPENDS ${objects}
  COMMENT "nvcc: lookback_cuda.so"
  VERBATIM)
if(LOOKBACK_CUDA STREQUAL "on")
  add_custom_target(lookback_cuda ALL DEPENDS "${library}")
else()
  add_custom_target(lookback_cuda DEPENDS "${library}")
endif()
