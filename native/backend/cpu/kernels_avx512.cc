// Compiled for the instruction set that LOOKBACK_ISA names (avx512); see native/sources.cmake.
#include "backend/cpu/kernels-inl.h"
