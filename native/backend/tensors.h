/// Finding the tensors of a call by name.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"

namespace lookback {

/// Null where there is none of that name; ERR_SHAPE where there is one of another shape.
template <class S>
const S* find(const Tensors<const S>& tensors, const std::string& name,
              const std::vector<int64_t>& shape) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) return nullptr;
  const auto show = [](const std::vector<int64_t>& dims) {
    std::string out = "[";
    for (size_t i = 0; i < dims.size(); ++i) {
      if (i > 0) out += ',';
      out += std::to_string(dims[i]);
    }
    out += ']';
    return out;
  };
  REQUIRE(it->second.shape == shape, kShape, "tensor ", name, " has shape ", show(it->second.shape),
          "; expected ", show(shape));
  return it->second.data;
}

template <class S>
S* find_out(const Tensors<S>& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  return it == tensors.end() ? nullptr : it->second.data;
}

}  // namespace lookback
