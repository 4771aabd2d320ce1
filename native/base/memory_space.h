/// Memory that a backend computes in: the host's own, or that of a device which the host reaches by
/// copies only.
#pragma once

#include <cstdint>

namespace lookback {

/// Copies into and within a space are ordered like the computations of its backend; `copy_out`
/// waits for them, and every `from` on the host may change as soon as its call returns. Counts are
/// elements.
class MemorySpace {
 public:
  virtual ~MemorySpace() = default;
  /// Whether pointers into this space can be followed by the host.
  virtual bool is_host() const = 0;
  /// Aligned to `kAlignment` at least; `zeroed` or not. Throws ERR_MEMORY that names `what`, the
  /// bytes wanted and those free.
  virtual void* allocate(int64_t bytes, bool zeroed, const char* what) = 0;
  /// Null is ignored.
  virtual void release(void* memory) noexcept = 0;

  template <class T>
  void zero(T* to, int64_t count) {
    zero_bytes(to, count * static_cast<int64_t>(sizeof(T)));
  }
  /// From the host.
  template <class T>
  void copy_in(const T* from, int64_t count, T* to) {
    copy_in_bytes(from, count * static_cast<int64_t>(sizeof(T)), to);
  }
  /// To the host.
  template <class T>
  void copy_out(const T* from, int64_t count, T* to) {
    copy_out_bytes(from, count * static_cast<int64_t>(sizeof(T)), to);
  }
  /// Within the space; ranges that do not overlap.
  template <class T>
  void copy(const T* from, int64_t count, T* to) {
    copy_bytes(from, count * static_cast<int64_t>(sizeof(T)), to);
  }

 protected:
  virtual void zero_bytes(void* to, int64_t bytes) = 0;
  virtual void copy_in_bytes(const void* from, int64_t bytes, void* to) = 0;
  virtual void copy_out_bytes(const void* from, int64_t bytes, void* to) = 0;
  virtual void copy_bytes(const void* from, int64_t bytes, void* to) = 0;
};

/// The memory of this process; copies are plain ones.
MemorySpace& host_memory();

}  // namespace lookback
