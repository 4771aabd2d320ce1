/// A data set that stays in native memory, checked once, gathered by row number.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/host_tensor.h"
#include "model/layer.h"

namespace lookback {

/// Destinations of one gathered batch; null ones are skipped. Lengths are the host's.
template <class S>
struct BatchTarget {
  S* x = nullptr;              ///< [b, T, C]
  int32_t* labels = nullptr;   ///< [b] or [b, T]
  S* targets = nullptr;        ///< [b, targetSize]
  S* weights = nullptr;        ///< [b] or [b, T]
  int32_t* lengths = nullptr;  ///< [b]
  int32_t* resets = nullptr;   ///< [b, T]
};

/// What a data set is made from.
struct DataInput {
  HostTensor x;
  std::optional<HostTensor> y = {};
  std::optional<std::vector<int32_t>> lengths = {};
  std::optional<HostTensor> weights = {};
  std::optional<HostTensor> resets = {};
};

/// What a data set has to fit.
struct DataShape {
  FeatureShape input, output;
  int64_t target_features = 0;  ///< per row or step
  bool allow_nan = false;       ///< in the targets
};

template <class S>
class Dataset {
 public:
  /// x        [n, T, inputSize] floats
  /// y        none; integers, labels: [n], or [n, T] where the model has an output at every step;
  ///          or floats [n, targets] or [n, T, targets]
  /// lengths  none, or [n], each in 0..T; what is behind them in y and in weights is not looked at
  /// weights  none, or floats, 0 or more: [n], or [n, T] where the model has an output at every
  /// step
  /// resets   none, or integers [n, T]: 1 before a step at which the row starts afresh, else 0
  /// Throws ERR_SHAPE (with the shapes expected and seen), ERR_DATA (with row, step and
  /// feature of the first number that is not finite, or the row of a label, length or weight out of
  /// range), ERR_MEMORY.
  /// Kept in the backend's memory; the backend outlives this.
  Dataset(Backend<S>& backend, DataInput given, const DataShape& shape);

  int64_t rows() const { return rows_; }
  int64_t steps() const { return steps_; }
  bool has_labels() const { return labels_.size() > 0; }
  bool has_targets() const { return targets_.size() > 0; }
  bool has_lengths() const { return !lengths_.empty(); }
  bool has_resets() const { return resets_.size() > 0; }
  bool has_weights() const { return weights_.size() > 0; }
  /// Labels, numbers of the targets and weights per row.
  int64_t label_size() const { return labels_.size() / rows_; }
  int64_t target_size() const { return target_size_; }
  int64_t weight_size() const { return weights_.size() / rows_; }
  int64_t bytes() const;

  /// Copies `count` rows to `target`; row i is rows[i], or first + i where `rows` is null. All in
  /// range.
  void gather(const uint32_t* rows, int64_t first, int64_t count,
              const BatchTarget<S>& target) const;

 private:
  void take_labels(const HostTensor& y, FeatureShape output);
  void take_targets(HostTensor y, const DataShape& shape);
  void take_lengths(std::vector<int32_t> lengths);
  void take_weights(HostTensor weights, FeatureShape output);
  /// Steps of a row whose answers count, where the answers have steps.
  int64_t valid_steps(int64_t row, int64_t steps) const;

  Backend<S>& backend_;
  int64_t rows_ = 0, steps_ = 0, features_ = 0, target_size_ = 0;
  Buffer<S> x_, targets_, weights_;
  Buffer<int32_t> labels_, resets_;
  std::vector<int32_t> lengths_;
  mutable std::vector<RowCopy> parts_;  ///< of the batch at hand; here so that it keeps its room
};

/// Throws ERR_SHAPE unless `shape` is [n, T, inputSize] with n, T >= 1 and holds `size` numbers.
void require_input_shape(const std::vector<int64_t>& shape, int64_t size, int64_t input_size);

/// Throws ERR_DATA that names row, step and feature of the first number of x [n, T, C] that is not
/// finite.
template <class S>
void require_finite(const S* x, int64_t rows, int64_t steps, int64_t features, const char* what);

/// Throws ERR_SHAPE or ERR_DATA unless these are integers [rows, steps] of 0 and 1.
void require_resets(const HostTensor& resets, int64_t rows, int64_t steps);

/// Throws ERR_SHAPE or ERR_DATA unless there are `rows` lengths, each in 0..steps.
void require_lengths(const int32_t* lengths, int64_t count, int64_t rows, int64_t steps);

}  // namespace lookback
