// Compiled for the instruction set that LOOKBACK_ISA names (avx2); see native/sources.cmake.
#include "backend/cpu/kernels-inl.h"
