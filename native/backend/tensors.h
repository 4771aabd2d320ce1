/// Finding the tensors of a call by name.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"

namespace lookback {

/// A shape of few dimensions without memory of its own: calls that are made for every step allocate
/// nothing.
struct SmallShape {
  static constexpr size_t kMax = 8;
  int64_t dims[kMax] = {};
  size_t count = 0;

  SmallShape(std::initializer_list<int64_t> list) { take(list); }
  SmallShape(const std::vector<int64_t>& list) { take(list); }  // NOLINT: as one

 private:
  template <class List>
  void take(const List& list) {
    REQUIRE(list.size() <= kMax, kInternal, "a tensor has ", list.size(), " dimensions");
    std::copy(list.begin(), list.end(), dims);
    count = list.size();
  }
};

/// Null where there is none of that name; ERR_SHAPE where there is one of another shape.
template <class S>
const S* find(const Tensors<const S>& tensors, const std::string& name, SmallShape shape) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) return nullptr;
  const auto show = [](SmallShape view) {
    std::string out = "[";
    for (size_t i = 0; i < view.count; ++i) {
      if (i > 0) out += ',';
      out += std::to_string(view.dims[i]);
    }
    out += ']';
    return out;
  };
  const std::vector<int64_t>& given = it->second.shape;
  REQUIRE(std::equal(given.begin(), given.end(), shape.dims, shape.dims + shape.count), kShape,
          "tensor ", name, " has shape ", show(given), "; expected ", show(shape));
  return it->second.data;
}

template <class S>
S* find_out(const Tensors<S>& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  return it == tensors.end() ? nullptr : it->second.data;
}

}  // namespace lookback
