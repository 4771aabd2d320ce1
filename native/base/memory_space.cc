#include "base/memory_space.h"

#include <cstring>

#include "base/memory.h"

namespace lookback {
namespace {

class HostMemory final : public MemorySpace {
 public:
  bool is_host() const override { return true; }
  void* allocate(int64_t bytes, bool zeroed, const char* what) override {
    return lookback::allocate(bytes, zeroed, what);
  }
  void release(void* memory) noexcept override { lookback::release(memory); }

 protected:
  void zero_bytes(void* to, int64_t bytes) override {
    if (bytes > 0) std::memset(to, 0, static_cast<size_t>(bytes));
  }
  void copy_in_bytes(const void* from, int64_t bytes, void* to) override {
    copy_bytes(from, bytes, to);
  }
  void copy_out_bytes(const void* from, int64_t bytes, void* to) override {
    copy_bytes(from, bytes, to);
  }
  void copy_bytes(const void* from, int64_t bytes, void* to) override {
    if (bytes > 0 && from != to) std::memcpy(to, from, static_cast<size_t>(bytes));
  }
};

}  // namespace

MemorySpace& host_memory() {
  static HostMemory memory;
  return memory;
}

}  // namespace lookback
