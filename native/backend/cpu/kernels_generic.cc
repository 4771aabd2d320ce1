// Compiled for the instruction set that LOOKBACK_ISA names (generic); see native/sources.cmake.
#include "backend/cpu/kernels-inl.h"
