#include "model/dataset.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace lookback {

void require_input_shape(const std::vector<int64_t>& shape, int64_t size, int64_t input_size) {
  REQUIRE(shape.size() == 3, kShape, "x has shape ", shape_text(shape),
          "; expected 3 dimensions [rows, steps, ", input_size, "]");
  REQUIRE(shape[0] >= 1 && shape[1] >= 1 && shape[2] == input_size, kShape, "x has shape ",
          shape_text(shape), "; expected [rows, steps, ", input_size,
          "] with at least one row and one step");
  REQUIRE(element_count(shape, "x") == size, kShape, "x has shape ", shape_text(shape), " and ",
          size, " numbers; expected ", element_count(shape, "x"));
}

template <class S>
void require_finite(const S* x, int64_t rows, int64_t steps, int64_t features, const char* what) {
  const int64_t size = rows * steps * features;
  const S* bad = std::find_if(x, x + size, [](S value) { return !std::isfinite(value); });
  if (bad == x + size) return;
  const int64_t at = bad - x;
  fail(ErrorCode::kData, text(what, " holds ", *bad, " at row ", at / (steps * features), ", step ",
                              at / features % steps, ", feature ", at % features,
                              "; replace or drop what is not a finite number"));
}

void require_lengths(const int32_t* lengths, int64_t count, int64_t rows, int64_t steps) {
  REQUIRE(count == rows, kShape, "lengths has ", count, " entries; expected one per row, ", rows);
  for (int64_t i = 0; i < count; ++i) {
    REQUIRE(lengths[i] >= 0 && lengths[i] <= steps, kData, "lengths holds ", lengths[i], " at row ",
            i, "; expected 0..", steps, ", the number of steps in x");
  }
}

void require_resets(const HostTensor& resets, int64_t rows, int64_t steps) {
  REQUIRE(resets.is_integer(), kShape, "resets holds floats; expected an Int32Array ",
          shape_text({rows, steps}));
  REQUIRE(resets.shape == (std::vector<int64_t>{rows, steps}) && resets.size() == rows * steps,
          kShape, "resets has shape ", shape_text(resets.shape), "; expected ",
          shape_text({rows, steps}));
  const auto& numbers = std::get<Buffer<int32_t>>(resets.data);
  for (int64_t i = 0; i < numbers.size(); ++i) {
    REQUIRE(numbers[i] == 0 || numbers[i] == 1, kData, "resets holds ", numbers[i], " at row ",
            i / steps, ", step ", i % steps,
            "; expected 0, or 1 where the state starts afresh before the step");
  }
}

template <class S>
Dataset<S>::Dataset(Backend<S>& backend, DataInput given, const DataShape& shape)
    : backend_(backend) {
  require_input_shape(given.x.shape, given.x.size(), shape.input.features);
  rows_ = given.x.shape[0];
  steps_ = given.x.shape[1];
  features_ = given.x.shape[2];
  REQUIRE(rows_ <= int64_t{UINT32_MAX}, kData, "x has ", rows_, " rows; a data set can have up to ",
          UINT32_MAX, ", split it");
  x_ = take_numbers<S>(std::move(given.x), "x");
  require_finite(x_.data(), rows_, steps_, features_, "x");
  if (given.lengths) take_lengths(std::move(*given.lengths));
  if (given.resets) {
    require_resets(*given.resets, rows_, steps_);
    resets_ = std::move(std::get<Buffer<int32_t>>(given.resets->data));
  }
  if (given.weights) take_weights(std::move(*given.weights), shape.output);
  if (given.y && given.y->is_integer()) {
    take_labels(*given.y, shape.output);
  } else if (given.y) {
    take_targets(std::move(*given.y), shape);
  }
  MemorySpace& memory = backend_.memory();
  x_ = moved_to(memory, std::move(x_), "x");
  targets_ = moved_to(memory, std::move(targets_), "y");
  weights_ = moved_to(memory, std::move(weights_), "the weights");
  labels_ = moved_to(memory, std::move(labels_), "y");
}

template <class S>
int64_t Dataset<S>::valid_steps(int64_t row, int64_t steps) const {
  if (lengths_.empty()) return steps;
  return lengths_[static_cast<size_t>(row)];
}

template <class S>
void Dataset<S>::take_weights(HostTensor weights, FeatureShape output) {
  std::vector<int64_t> steps{rows_, steps_};
  const bool per_row = weights.shape == std::vector<int64_t>{rows_};
  REQUIRE(per_row || (output.sequence && weights.shape == steps), kShape, "the weights have shape ",
          shape_text(weights.shape), "; expected ", shape_text({rows_}),
          output.sequence ? " or " + shape_text(steps) : "");
  REQUIRE(weights.size() == element_count(weights.shape, "the weights"), kShape, "the weights are ",
          weights.size(), " numbers; expected ", element_count(weights.shape, "the weights"));
  weights_ = take_numbers<S>(std::move(weights), "the weights");
  const int64_t size = weights_.size() / rows_;
  for (int64_t i = 0; i < weights_.size(); ++i) {
    if (size > 1 && i % size >= valid_steps(i / size, size)) continue;
    REQUIRE(std::isfinite(weights_[i]) && weights_[i] >= 0, kData, "the weights hold ", weights_[i],
            " at row ", i / size, "; expected a finite number, 0 or more");
  }
}

template <class S>
void Dataset<S>::take_lengths(std::vector<int32_t> lengths) {
  require_lengths(lengths.data(), static_cast<int64_t>(lengths.size()), rows_, steps_);
  lengths_ = std::move(lengths);
}

template <class S>
void Dataset<S>::take_labels(const HostTensor& y, FeatureShape output) {
  std::vector<int64_t> expected{rows_};
  if (output.sequence) expected.push_back(steps_);
  REQUIRE(y.shape == expected && y.size() == element_count(expected, "y"), kShape, "y has shape ",
          shape_text(y.shape), " and ", y.size(), " labels; expected ", shape_text(expected),
          output.sequence ? ", one per step of x, since the model gives an output at every step"
                          : ", one per row of x");
  const auto& labels = std::get<Buffer<int32_t>>(y.data);
  const int64_t steps = output.sequence ? steps_ : 1;
  labels_ = Buffer<int32_t>(rows_ * steps, "y");
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t valid = output.sequence ? valid_steps(row, steps) : 1;
    for (int64_t t = 0; t < valid; ++t) {
      const int32_t label = labels[row * steps + t];
      REQUIRE(label >= 0 && label < output.features, kData, "y holds label ", label, " at row ",
              row, output.sequence ? text(", step ", t) : "", "; expected 0..", output.features - 1,
              " for ", output.features, " classes, the number of outputs of the last layer");
      labels_[row * steps + t] = label;
    }
  }
}

template <class S>
void Dataset<S>::take_targets(HostTensor y, const DataShape& shape) {
  const int64_t features = shape.target_features, steps = shape.output.sequence ? steps_ : 1;
  std::vector<int64_t> expected{rows_};
  if (shape.output.sequence) expected.push_back(steps_);
  expected.push_back(features);
  const bool column =
      !shape.output.sequence && features == 1 && y.shape == std::vector<int64_t>{rows_};
  REQUIRE((column || y.shape == expected) && y.size() == element_count(expected, "y"), kShape,
          "y has shape ", shape_text(y.shape), " and ", y.size(), " numbers; expected ",
          shape_text(expected), ", as the model's output and its loss have it");
  targets_ = take_numbers<S>(std::move(y), "y");
  target_size_ = steps * features;
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t valid = shape.output.sequence ? valid_steps(row, steps) : 1;
    for (int64_t i = 0; i < valid * features; ++i) {
      const S value = targets_[row * target_size_ + i];
      if (std::isfinite(value) || (shape.allow_nan && std::isnan(value))) continue;
      fail(ErrorCode::kData,
           text("y holds ", value, " at row ", row, ", step ", i / features, ", feature ",
                i % features, "; replace or drop what is not a finite number",
                std::isnan(value) ? ", or give the loss skipNaN: true" : ""));
    }
  }
}

template <class S>
int64_t Dataset<S>::bytes() const {
  return x_.bytes() + targets_.bytes() + weights_.bytes() + labels_.bytes() + resets_.bytes() +
         static_cast<int64_t>(lengths_.size() * sizeof(int32_t));
}

template <class S>
void Dataset<S>::gather(const uint32_t* rows, int64_t first, int64_t count,
                        const BatchTarget<S>& target) const {
  parts_.clear();
  const auto add = [this](const auto& from, int64_t size, auto* to) {
    if (to != nullptr) parts_.push_back({from.data(), to, size * int64_t{sizeof(*to)}});
  };
  add(x_, steps_ * features_, target.x);
  add(labels_, label_size(), target.labels);
  add(targets_, target_size_, target.targets);
  add(weights_, weight_size(), target.weights);
  backend_.copy_rows(rows, first, count, parts_);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows == nullptr ? first + i : int64_t{rows[i]};
    if (target.lengths != nullptr) target.lengths[i] = lengths_[static_cast<size_t>(row)];
    if (target.resets != nullptr)
      std::copy_n(resets_.data() + row * steps_, steps_, target.resets + i * steps_);
  }
}

template void require_finite(const float*, int64_t, int64_t, int64_t, const char*);
template void require_finite(const double*, int64_t, int64_t, int64_t, const char*);
template class Dataset<float>;
template class Dataset<double>;

}  // namespace lookback
