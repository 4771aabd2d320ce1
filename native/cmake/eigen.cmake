# lookback_eigen: Eigen's headers, from the first place that has them. The published package brings its own copy in
# vendor/; a checkout has the system's, or the one that scripts/setup.sh unpacked into .cache/.
find_path(LOOKBACK_EIGEN_DIR Eigen/Core
  PATHS
    "${CMAKE_CURRENT_SOURCE_DIR}/vendor/eigen"
    "${CMAKE_CURRENT_SOURCE_DIR}/.cache/eigen/usr/include/eigen3"
  NO_DEFAULT_PATH)
find_path(LOOKBACK_EIGEN_DIR Eigen/Core PATH_SUFFIXES eigen3)
if(NOT LOOKBACK_EIGEN_DIR)
  message(FATAL_ERROR "Eigen's headers (Eigen/Core, 3.4 or later) were found nowhere. "
    "In a checkout run: bash scripts/setup.sh. Elsewhere install libeigen3-dev (Debian), eigen3-devel (Fedora) or "
    "eigen (Homebrew), or point LOOKBACK_EIGEN_DIR at the folder that holds Eigen/.")
endif()
add_library(lookback_eigen INTERFACE)
target_include_directories(lookback_eigen SYSTEM INTERFACE "${LOOKBACK_EIGEN_DIR}")
target_compile_definitions(lookback_eigen INTERFACE EIGEN_MPL2_ONLY)
