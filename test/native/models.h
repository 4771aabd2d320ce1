/// Small models and fixed noise for the tests of models.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "model/engine.h"

namespace lookback {

using Numbers = std::vector<double>;

inline Spec spec(const std::vector<std::pair<std::string, Spec::Value>>& entries) {
  Spec made;
  for (const auto& [key, value] : entries) made.set(key, value);
  return made;
}

inline Spec dense(double units, const std::string& activation = "linear") {
  return spec({{"kind", std::string("dense")}, {"units", units}, {"activation", activation}});
}

inline Spec lstm(double units, bool sequences = false) {
  return spec({{"kind", std::string("lstm")}, {"units", units}, {"returnSequences", sequences}});
}

inline Spec dropout(double rate) {
  return spec({{"kind", std::string("dropout")}, {"rate", rate}});
}

inline Spec named(const char* kind) { return spec({{"kind", std::string(kind)}}); }

inline std::unique_ptr<Engine> engine(const std::vector<LayerSpec>& layers, int64_t input_size,
                                      DType dtype = DType::kFloat64, int threads = 1,
                                      DeviceKind device = DeviceKind::kCpu) {
  EngineSpec made;
  made.dtype = dtype;
  made.device = device;
  made.seed = 3;
  made.threads = threads;
  made.input_size = input_size;
  made.layers = layers;
  return make_engine(made);
}

inline double noise(uint32_t stream, int64_t i) {
  return 2 * uniform_at(9, RandomUse::kCaller, stream, static_cast<uint64_t>(i)) - 1;
}

inline HostTensor noise_tensor(std::vector<int64_t> shape, uint32_t stream) {
  HostTensor tensor = make_tensor<double>(std::move(shape), "noise");
  auto& numbers = std::get<Buffer<double>>(tensor.data);
  for (int64_t i = 0; i < numbers.size(); ++i) numbers[i] = noise(stream, i);
  return tensor;
}

inline HostTensor int_tensor(const std::vector<int32_t>& values) {
  return copy_tensor<int32_t>({static_cast<int64_t>(values.size())}, values.data(), "labels");
}

inline HostTensor copy_of(const HostTensor& tensor) {
  return std::visit(
      [&](const auto& numbers) { return copy_tensor(tensor.shape, numbers.data(), "a copy"); },
      tensor.data);
}

inline Numbers numbers_of(const HostTensor& tensor) {
  return std::visit(
      [](const auto& buffer) { return Numbers(buffer.data(), buffer.data() + buffer.size()); },
      tensor.data);
}

/// All numbers of the snapshot, in order: equal for equal states only.
inline Numbers state_of(Engine& of) {
  Numbers all;
  for (const NamedTensor& each : of.tensors()) {
    const Numbers part = numbers_of(each.tensor);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

inline std::vector<uint32_t> first_rows(uint32_t count) {
  std::vector<uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

inline Sums train(Engine& of, int64_t data, const std::vector<uint32_t>& rows, int64_t batch,
                  double rate) {
  return of.train(data, {rows.data(), static_cast<int64_t>(rows.size()), batch, rate}, nullptr);
}

/// 256 rows of two features; the label says whether their signs differ.
inline int64_t add_xor(Engine& to, bool labels = true) {
  constexpr int64_t kRows = 256;
  HostTensor x = noise_tensor({kRows, 1, 2}, 5);
  const Numbers numbers = numbers_of(x);
  std::vector<int32_t> y;
  for (size_t i = 0; i < kRows; ++i) y.push_back(numbers[2 * i] * numbers[2 * i + 1] < 0 ? 1 : 0);
  if (labels) return to.add_data(std::move(x), int_tensor(y), {});
  HostTensor targets = make_tensor<double>({kRows, 1, 1}, "targets");
  for (int64_t i = 0; i < kRows; ++i) {
    std::get<Buffer<double>>(targets.data)[i] = y[static_cast<size_t>(i)];
  }
  return to.add_data(std::move(x), std::move(targets), {});
}

}  // namespace lookback
