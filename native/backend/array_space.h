/// ArraySpace of a backend's memory as the host moves them about between recurrences: copies, zeros
/// and sums, on the host itself or queued on a device.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/memory_space.h"

namespace lookback {

template <class S>
class ArraySpace {
 public:
  /// The host's.
  ArraySpace() = default;
  /// Those of `backend`, which outlives this.
  explicit ArraySpace(Backend<S>& backend) : space_(&backend.memory()), backend_(&backend) {}

  MemorySpace& space() const { return *space_; }
  Buffer<S> make(int64_t count, const char* what) const { return Buffer<S>(count, what, *space_); }
  void copy(const S* from, int64_t count, S* to) const { space_->copy(from, count, to); }
  void zero(S* to, int64_t count) const { space_->zero(to, count); }
  void put(const S* host, int64_t count, S* to) const { space_->copy_in(host, count, to); }
  void fetch(const S* from, int64_t count, S* host) const { space_->copy_out(from, count, host); }
  /// y += x.
  void add(int64_t count, const S* x, S* y) const {
    if (backend_ != nullptr) return backend_->add(count, x, y);
    for (int64_t i = 0; i < count; ++i) y[i] += x[i];
  }
  /// Rows of `cols` numbers between arrays whose rows are further apart.
  void copy_rows(int64_t rows, int64_t cols, const S* from, int64_t from_row, S* to,
                 int64_t to_row) const {
    if (backend_ != nullptr) return backend_->copy_columns(rows, cols, from, from_row, to, to_row);
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * from_row, cols, to + r * to_row);
  }

 private:
  MemorySpace* space_ = &host_memory();
  Backend<S>* backend_ = nullptr;
};

}  // namespace lookback
