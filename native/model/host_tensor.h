/// Tensors as they cross the bridge: owned, shaped, of one of three element types.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/arena.h"
#include "base/error.h"

namespace lookback {

/// Element type that a model or cell computes in.
enum class DType { kFloat32, kFloat64 };

/// An owned array with its shape; the number of elements is the product of `shape`.
struct HostTensor {
  using Data = std::variant<Buffer<float>, Buffer<double>, Buffer<int32_t>>;
  std::vector<int64_t> shape;
  Data data;

  int64_t size() const {
    return std::visit([](const auto& buffer) { return buffer.size(); }, data);
  }
  bool is_integer() const { return std::holds_alternative<Buffer<int32_t>>(data); }
};

/// A tensor of a cell call, or of a snapshot (where `role` says what it is).
struct NamedTensor {
  enum class Role { kParam, kBuffer, kSlot, kState };
  Role role = Role::kParam;
  std::string name;
  HostTensor tensor;
};
using NamedTensors = std::vector<NamedTensor>;

/// "[2, 3, 4]".
inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string list = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    list += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return list + "]";
}

/// A zeroed tensor. Throws ERR_MEMORY that names `what`.
template <class S>
HostTensor make_tensor(std::vector<int64_t> shape, const char* what) {
  const int64_t size = element_count(shape, what);
  return {std::move(shape), Buffer<S>(size, what)};
}

/// A copy of numbers in a space.
template <class S>
HostTensor copy_tensor(MemorySpace& memory, std::vector<int64_t> shape, const S* from,
                       const char* what) {
  const int64_t size = element_count(shape, what);
  Buffer<S> numbers = Buffer<S>::for_overwrite(size, what);
  memory.copy_out(from, size, numbers.data());
  return {std::move(shape), std::move(numbers)};
}

/// A copy of numbers of the host.
template <class S>
HostTensor copy_tensor(std::vector<int64_t> shape, const S* from, const char* what) {
  return copy_tensor(host_memory(), std::move(shape), from, what);
}

/// The numbers of a float tensor as type S: moved out where they are of that type, else converted.
/// Integers are ERR_SHAPE: labels and lengths have their own places.
template <class S>
Buffer<S> take_numbers(HostTensor tensor, const char* what) {
  if (auto* same = std::get_if<Buffer<S>>(&tensor.data)) return std::move(*same);
  REQUIRE(!tensor.is_integer(), kShape, what,
          " is an Int32Array; expected a Float32Array or Float64Array");
  Buffer<S> numbers = Buffer<S>::for_overwrite(tensor.size(), what);
  std::visit(
      [&numbers](const auto& from) {
        for (int64_t i = 0; i < from.size(); ++i) numbers[i] = static_cast<S>(from[i]);
      },
      tensor.data);
  return numbers;
}

}  // namespace lookback
