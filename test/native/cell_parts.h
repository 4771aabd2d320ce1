/// Parts of a call as calls of their own: some of its rows, some of its steps.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "native/cell_run.h"

namespace lookback {

/// A part of a call: some rows, and of tensors with a sequence the steps [begin, end).
struct Part {
  std::vector<int64_t> rows;
  int64_t begin = 0, end = 0;
};

inline bool has_steps(const std::string& name) {
  return name == "x" || name == "y" || name == "resets" || starts_with(name, "mask");
}

/// The tensor's numbers of a part, in its order.
template <class S>
std::vector<S> take(const std::string& name, const std::vector<S>& from, const Shape& shape,
                    const Part& part) {
  const size_t axis = batch_axis(name, shape);
  const Shape before(shape.begin(), shape.begin() + static_cast<ptrdiff_t>(axis));
  const Shape after(shape.begin() + static_cast<ptrdiff_t>(axis) + 1, shape.end());
  const int64_t inner = count(after);
  const int64_t step = has_steps(name) ? inner / after[0] : inner;
  const int64_t first = has_steps(name) ? part.begin * step : 0;
  const int64_t last = has_steps(name) ? part.end * step : inner;
  std::vector<S> out;
  for (int64_t outer = 0; outer < count(before); ++outer) {
    for (const int64_t row : part.rows) {
      const auto begin = from.begin() + static_cast<ptrdiff_t>((outer * shape[axis] + row) * inner);
      out.insert(out.end(), begin + static_cast<ptrdiff_t>(first),
                 begin + static_cast<ptrdiff_t>(last));
    }
  }
  return out;
}

inline Shape shape_of_part(const std::string& name, Shape shape, const Part& part) {
  const size_t axis = batch_axis(name, shape);
  shape[axis] = static_cast<int64_t>(part.rows.size());
  if (has_steps(name)) shape[axis + 1] = part.end - part.begin;
  return shape;
}

inline CellData data_of_part(const CellData& whole, const Part& part) {
  CellData data = whole;
  data.batch = static_cast<int64_t>(part.rows.size());
  data.steps = part.end - part.begin;
  for (auto& [name, numbers] : data.inputs) {
    if (starts_with(name, "buf.")) continue;
    numbers = take(name, whole.inputs.at(name), whole.input_shapes.at(name), part);
    data.input_shapes[name] = shape_of_part(name, whole.input_shapes.at(name), part);
  }
  for (auto& [name, shape] : data.output_shapes) {
    if (starts_with(name, "buf.") || whole.derived.count(name) != 0) continue;
    if (whole.upstream.count(name) != 0) {
      data.upstream[name] = take(name, whole.upstream.at(name), shape, part);
    }
    shape = shape_of_part(name, shape, part);
  }
  data.lengths.clear();
  for (const int64_t row : part.rows) {
    if (whole.lengths.empty()) break;
    const int64_t length = whole.lengths[static_cast<size_t>(row)];
    data.lengths.push_back(
        static_cast<int32_t>(std::max<int64_t>(0, std::min(length, part.end) - part.begin)));
  }
  return data;
}

}  // namespace lookback
