/// Keywords that differ between the host compilers and nvcc's device pass.
#pragma once

#if defined(__CUDACC__)
#define HD __host__ __device__ __forceinline__
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(LOOKBACK_PLAIN_INLINE)
/// Code that is inlined by force takes the compiler long, ten times so where it is instrumented.
/// Where nobody waits for its speed that is not worth it.
#define HD inline
#else
/// Forced inlining keeps code that was compiled for one instruction set out of the symbol table,
/// where the linker could hand it to code that must run on an older CPU.
#define HD inline __attribute__((always_inline))
#endif

/// What is not worth a copy in each cell's loops: a call on the host. Only for members of templates
/// over an execution context, whose symbols name their instruction set.
#if defined(__CUDACC__)
#define HOST_CALL HD
#else
#define HOST_CALL __attribute__((noinline))
#endif

/// Unrolls the loop that follows n times.
#define LOOKBACK_PRAGMA(text) _Pragma(#text)
#if defined(__CUDACC__)
#define UNROLL(n) LOOKBACK_PRAGMA(unroll n)
#else
#define UNROLL(n) LOOKBACK_PRAGMA(GCC unroll n)
#endif

/// The inline namespace of everything that is compiled once per instruction set.
#ifndef LOOKBACK_ISA
#define LOOKBACK_ISA generic
#endif
