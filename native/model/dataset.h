/// A data set that stays in native memory, checked once, gathered by row number.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/host_tensor.h"
#include "model/layer.h"

namespace lookback {

/// Destinations of one gathered batch; null ones are skipped.
template <class S>
struct BatchTarget {
  S* x = nullptr;              ///< [b, T, C]
  int32_t* labels = nullptr;   ///< [b]
  S* targets = nullptr;        ///< [b, targetSize]
  int32_t* lengths = nullptr;  ///< [b]
};

template <class S>
class Dataset {
 public:
  /// x        [n, T, inputSize] floats
  /// y        none; integers [n], labels of a model whose output is [classes]; or floats [n,
  /// ...output] lengths  none, or [n], each in 0..T Throws ERR_SHAPE (with the shapes expected and
  /// seen), ERR_DATA (with row, step and feature of the first number that is not finite, or the row
  /// of a label or length out of range), ERR_MEMORY.
  Dataset(HostTensor x, std::optional<HostTensor> y, std::optional<std::vector<int32_t>> lengths,
          FeatureShape input, FeatureShape output);

  int64_t rows() const { return rows_; }
  int64_t steps() const { return steps_; }
  bool has_labels() const { return labels_.size() > 0; }
  bool has_targets() const { return targets_.size() > 0; }
  bool has_lengths() const { return !lengths_.empty(); }
  /// Numbers per row of the targets.
  int64_t target_size() const { return target_size_; }
  int64_t bytes() const;

  /// Copies `count` rows to `target`; row i is rows[i], or first + i where `rows` is null. All in
  /// range.
  void gather(const uint32_t* rows, int64_t first, int64_t count,
              const BatchTarget<S>& target) const;

 private:
  void take_labels(const HostTensor& y, FeatureShape output);
  void take_targets(HostTensor y, FeatureShape output);
  void take_lengths(std::vector<int32_t> lengths);

  int64_t rows_ = 0, steps_ = 0, features_ = 0, target_size_ = 0;
  Buffer<S> x_, targets_;
  Buffer<int32_t> labels_;
  std::vector<int32_t> lengths_;
};

/// Throws ERR_SHAPE unless `shape` is [n, T, inputSize] with n, T >= 1 and holds `size` numbers.
void require_input_shape(const std::vector<int64_t>& shape, int64_t size, int64_t input_size);

/// Throws ERR_DATA that names row, step and feature of the first number of x [n, T, C] that is not
/// finite.
template <class S>
void require_finite(const S* x, int64_t rows, int64_t steps, int64_t features, const char* what);

/// Throws ERR_SHAPE or ERR_DATA unless there are `rows` lengths, each in 0..steps.
void require_lengths(const int32_t* lengths, int64_t count, int64_t rows, int64_t steps);

}  // namespace lookback
