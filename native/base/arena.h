/// Owned arrays of numbers, and the flat block that holds all parameters of a model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/memory_space.h"

namespace lookback {

/// A growable array of plain numbers, 64-byte aligned and zeroed when it is made. Not for
/// appending: growing discards. It lies in the host's memory unless it was given another space,
/// which outlives it; its elements can be read and written in the host's only.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  /// Zeros. Throws ERR_MEMORY that names `what`.
  Buffer(int64_t size, const char* what) { grow(size, true, what); }
  /// Likewise, in a space.
  Buffer(int64_t size, const char* what, MemorySpace& space) : Buffer(space) {
    grow(size, true, what);
  }
  /// Empty, for a space.
  explicit Buffer(MemorySpace& space) { use(space); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { free_block(); }

  /// A buffer whose contents are undefined: the caller writes every element.
  static Buffer for_overwrite(int64_t size, const char* what) {
    Buffer buffer;
    buffer.grow(size, false, what);
    return buffer;
  }

  /// Over numbers of the host that somebody else owns and keeps for as long.
  static Buffer over(T* numbers, int64_t size) {
    Buffer buffer;
    buffer.data_ = numbers;
    buffer.size_ = buffer.capacity_ = size;
    buffer.owned_ = false;
    return buffer;
  }

  /// What is made from now on lies there; the buffer is empty.
  void use(MemorySpace& space) {
    clear();
    space_ = space.is_host() ? nullptr : &space;
  }

  /// Makes room for `size` elements. Where that needs a new block, the contents become zeros;
  /// otherwise they stay. Throws ERR_MEMORY; the buffer is empty then.
  void ensure(int64_t size, const char* what) {
    if (size > capacity_) grow(size, true, what);
    size_ = size;
  }

  /// Gives the memory back.
  void clear() {
    free_block();
    data_ = nullptr;
    size_ = capacity_ = 0;
    owned_ = true;
    claim_ = MemoryClaim();
  }

  void zero() {
    if (space_ != nullptr) return space_->zero(data_, size_);
    std::fill_n(data_, size_, T(0));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return capacity_ * static_cast<int64_t>(sizeof(T)); }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  void grow(int64_t size, bool zeroed, const char* what) {
    clear();
    const int64_t bytes = checked_mul(size, static_cast<int64_t>(sizeof(T)), what);
    if (space_ != nullptr) {
      data_ = static_cast<T*>(space_->allocate(bytes, zeroed, what));
    } else {
      MemoryClaim claim(bytes, what);
      data_ = static_cast<T*>(allocate(bytes, zeroed, what));
      claim_ = std::move(claim);
    }
    size_ = capacity_ = size;
  }

  void free_block() noexcept {
    if (!owned_) return;
    if (space_ != nullptr) {
      space_->release(data_);
    } else {
      release(data_);
    }
  }

  void swap(Buffer& other) noexcept {
    std::swap(space_, other.space_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(owned_, other.owned_);
    std::swap(claim_, other.claim_);
  }

  MemorySpace* space_ = nullptr;  ///< null: the host's, without a virtual call
  T* data_ = nullptr;
  int64_t size_ = 0;
  int64_t capacity_ = 0;
  bool owned_ = true;
  MemoryClaim claim_;
};

/// The numbers of a host buffer in a space: the same buffer where that is the host's.
template <class T>
Buffer<T> moved_to(MemorySpace& space, Buffer<T> host, const char* what) {
  if (space.is_host()) return host;
  Buffer<T> moved(space);
  moved.ensure(host.size(), what);
  space.copy_in(host.data(), host.size(), moved.data());
  return moved;
}

/// Number of elements of a shape, checked (ERR_MEMORY).
inline int64_t element_count(const std::vector<int64_t>& shape, const char* what) {
  int64_t count = 1;
  for (const int64_t extent : shape) count = checked_mul(count, extent, what);
  return count;
}

/// A named part of a flat block.
struct Segment {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t size = 0;
  bool trainable = true;
};

/// Where each named tensor lies in one flat block. The parameters, their gradients and every
/// optimizer slot share one layout, so that clipping, updating, zeroing and saving are single
/// passes. Segments start on cache lines; the gaps are zero and stay zero under every optimizer.
class ArenaLayout {
 public:
  void add(std::string name, std::vector<int64_t> shape, bool trainable = true) {
    constexpr int64_t kLine = kAlignment / 4;
    const int64_t size = element_count(shape, name.c_str());
    segments_.push_back({name, std::move(shape), total_, size, trainable});
    const int64_t padded = checked_add(size, kLine - 1, name.c_str()) / kLine * kLine;
    total_ = checked_add(total_, padded, name.c_str());
  }

  const std::vector<Segment>& segments() const { return segments_; }
  /// Elements of the whole block, gaps included.
  int64_t total() const { return total_; }
  /// Elements that belong to a segment.
  int64_t used() const {
    int64_t sum = 0;
    for (const Segment& segment : segments_) sum += segment.size;
    return sum;
  }

 private:
  std::vector<Segment> segments_;
  int64_t total_ = 0;
};

/// A flat block with named segments.
template <class S>
class ParamArena {
 public:
  ParamArena() = default;
  ParamArena(const ArenaLayout& layout, const char* what, MemorySpace& space = host_memory())
      : values_(layout.total(), what, space) {}

  S* at(const Segment& segment) { return values_.data() + segment.offset; }
  const S* at(const Segment& segment) const { return values_.data() + segment.offset; }
  S* data() { return values_.data(); }
  const S* data() const { return values_.data(); }
  int64_t size() const { return values_.size(); }
  int64_t bytes() const { return values_.bytes(); }
  void zero() { values_.zero(); }

 private:
  Buffer<S> values_;
};

}  // namespace lookback
