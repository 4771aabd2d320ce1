/// A buffer between two sentinels: a kernel that writes outside its output is caught.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "native/check.h"

namespace lookback {

/// `size` numbers, 64-byte aligned, with 64 bytes of sentinel before and after.
template <class S>
class Guarded {
 public:
  explicit Guarded(int64_t size, S fill = S(0)) : size_(size) {
    bytes_.resize(static_cast<size_t>(size) * sizeof(S) + 3 * kGuard, kSentinel);
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data()) + kGuard;
    begin_ = (address + kGuard - 1) / kGuard * kGuard - reinterpret_cast<uintptr_t>(bytes_.data());
    for (int64_t i = 0; i < size; ++i) data()[i] = fill;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() {
    const size_t end = begin_ + static_cast<size_t>(size_) * sizeof(S);
    bool intact = true;
    for (size_t i = 0; i < bytes_.size(); ++i) {
      intact = intact && ((i >= begin_ && i < end) || bytes_[i] == kSentinel);
    }
    CHECK(intact);
  }

  S* data() { return reinterpret_cast<S*>(bytes_.data() + begin_); }
  S& operator[](int64_t i) { return data()[i]; }
  int64_t size() const { return size_; }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr unsigned char kSentinel = 0xA5;
  int64_t size_;
  std::vector<unsigned char> bytes_;
  size_t begin_ = 0;
};

}  // namespace lookback
