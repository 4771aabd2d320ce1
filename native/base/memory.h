/// Allocation that fails with a typed error instead of a dead process.
#pragma once

#include <cstdint>

namespace lookback {

/// Every array of numbers starts on a cache line, which is also the widest vector register.
constexpr int64_t kAlignment = 64;

/// Bytes that this process can still use: the machine's available memory, or what the container's
/// limit leaves. INT64_MAX where neither can be read.
int64_t available_memory();

/// Throws ERR_MEMORY, with both numbers, where `bytes` exceed `available_memory()`. The system
/// would hand out the addresses and kill the process when they are touched. Small sizes are let
/// through unasked.
void require_memory(int64_t bytes, const char* what);

/// Memory aligned to `kAlignment`, its contents undefined. Throws ERR_MEMORY that names `what` and
/// the bytes.
void* allocate(int64_t bytes, const char* what);
void release(void* memory) noexcept;

}  // namespace lookback
