/// Allocation that fails with a typed error instead of a dead process.
#pragma once

#include <cstdint>
#include <utility>

namespace lookback {

/// Every array of numbers starts on a cache line, which is also the widest vector register.
constexpr int64_t kAlignment = 64;

/// Bytes that this process can still use: the machine's available memory or what the container's
/// limit leaves, less what is claimed but not touched yet. INT64_MAX where none of it can be read.
int64_t available_memory();

/// Throws ERR_MEMORY, with both numbers, where `bytes` exceed `available_memory()`. The system
/// would hand out the addresses and kill the process when they are touched. Small sizes are let
/// through unasked.
void require_memory(int64_t bytes, const char* what);

/// Memory that somebody holds, counted for the whole process: what is allocated but not touched
/// looks free to the system, and two models that fit one at a time would both be let in.
class MemoryClaim {
 public:
  MemoryClaim() = default;
  /// Throws as `require_memory`.
  MemoryClaim(int64_t bytes, const char* what);
  ~MemoryClaim();
  MemoryClaim(MemoryClaim&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryClaim& operator=(MemoryClaim&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

 private:
  int64_t bytes_ = 0;
};

/// A block aligned to `kAlignment`. `zeroed`: large blocks are pages that the system zeroes when
/// they are touched, so this takes no time. Throws ERR_MEMORY that names `what` and the bytes.
/// `release` takes the same pointer.
void* allocate(int64_t bytes, bool zeroed, const char* what);
void release(void* memory) noexcept;

}  // namespace lookback
