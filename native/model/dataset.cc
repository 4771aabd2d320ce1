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

template <class S>
Dataset<S>::Dataset(HostTensor x, std::optional<HostTensor> y,
                    std::optional<std::vector<int32_t>> lengths, FeatureShape input,
                    FeatureShape output) {
  require_input_shape(x.shape, x.size(), input.features);
  rows_ = x.shape[0];
  steps_ = x.shape[1];
  features_ = x.shape[2];
  REQUIRE(rows_ <= int64_t{UINT32_MAX}, kData, "x has ", rows_, " rows; a data set can have up to ",
          UINT32_MAX, ", split it");
  x_ = take_numbers<S>(std::move(x), "x");
  require_finite(x_.data(), rows_, steps_, features_, "x");
  if (lengths) take_lengths(std::move(*lengths));
  if (!y) return;
  if (y->is_integer()) {
    take_labels(*y, output);
  } else {
    take_targets(std::move(*y), output);
  }
}

template <class S>
void Dataset<S>::take_lengths(std::vector<int32_t> lengths) {
  require_lengths(lengths.data(), static_cast<int64_t>(lengths.size()), rows_, steps_);
  lengths_ = std::move(lengths);
}

template <class S>
void Dataset<S>::take_labels(const HostTensor& y, FeatureShape output) {
  REQUIRE(!output.sequence, kShape,
          "y holds labels, one per row, but the model gives an output at every step; set "
          "returnSequences: false on its last recurrent layer");
  REQUIRE(y.shape == std::vector<int64_t>{rows_} && y.size() == rows_, kShape, "y has shape ",
          shape_text(y.shape), " and ", y.size(), " labels; expected [", rows_,
          "], one per row of x");
  const auto& labels = std::get<Buffer<int32_t>>(y.data);
  for (int64_t i = 0; i < rows_; ++i) {
    REQUIRE(labels[i] >= 0 && labels[i] < output.features, kData, "y holds label ", labels[i],
            " at row ", i, "; expected 0..", output.features - 1, " for ", output.features,
            " classes, the number of outputs of the last layer");
  }
  labels_ = Buffer<int32_t>(rows_, "y");
  std::copy_n(labels.data(), rows_, labels_.data());
}

template <class S>
void Dataset<S>::take_targets(HostTensor y, FeatureShape output) {
  std::vector<int64_t> expected{rows_};
  if (output.sequence) expected.push_back(steps_);
  expected.push_back(output.features);
  const bool column =
      !output.sequence && output.features == 1 && y.shape == std::vector<int64_t>{rows_};
  REQUIRE((column || y.shape == expected) && y.size() == element_count(expected, "y"), kShape,
          "y has shape ", shape_text(y.shape), " and ", y.size(), " numbers; expected ",
          shape_text(expected), ", the shape of the model's output");
  targets_ = take_numbers<S>(std::move(y), "y");
  const int64_t steps = output.sequence ? steps_ : 1;
  require_finite(targets_.data(), rows_, steps, output.features, "y");
  target_size_ = steps * output.features;
}

template <class S>
int64_t Dataset<S>::bytes() const {
  return x_.bytes() + targets_.bytes() + labels_.bytes() +
         static_cast<int64_t>(lengths_.size() * sizeof(int32_t));
}

template <class S>
void Dataset<S>::gather(const uint32_t* rows, int64_t first, int64_t count,
                        const BatchTarget<S>& target) const {
  const int64_t row_size = steps_ * features_;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows == nullptr ? first + i : int64_t{rows[i]};
    std::copy_n(x_.data() + row * row_size, row_size, target.x + i * row_size);
    if (target.labels != nullptr) target.labels[i] = labels_[row];
    if (target.targets != nullptr) {
      std::copy_n(targets_.data() + row * target_size_, target_size_,
                  target.targets + i * target_size_);
    }
    if (target.lengths != nullptr) target.lengths[i] = lengths_[static_cast<size_t>(row)];
  }
}

template void require_finite(const float*, int64_t, int64_t, int64_t, const char*);
template void require_finite(const double*, int64_t, int64_t, int64_t, const char*);
template class Dataset<float>;
template class Dataset<double>;

}  // namespace lookback
