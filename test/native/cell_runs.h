/// Calls of a cell through the door of `cells.*`, on noise.
#pragma once

#include <string>
#include <vector>

#include "model/cell_call.h"
#include "native/models.h"

namespace lookback {

/// Room for results; what they are not written to or added to stays `filled`.
inline NamedTensors room_for(const std::vector<ResultInfo>& infos, double filled = 0) {
  NamedTensors room;
  for (const ResultInfo& info : infos) {
    HostTensor tensor = make_tensor<double>(info.shape, "a result");
    auto& numbers = std::get<Buffer<double>>(tensor.data);
    if (!info.zeroed) std::fill_n(numbers.data(), numbers.size(), filled);
    room.push_back({NamedTensor::Role::kParam, info.name, std::move(tensor)});
  }
  return room;
}

/// Of weights that are never trained, signs, all are 1.
inline NamedTensors noise_weights(const CellRunner& runner) {
  NamedTensors weights;
  uint32_t stream = 2;
  for (const ParamInfo& param : runner.params()) {
    HostTensor tensor = noise_tensor(param.shape, stream++);
    auto& numbers = std::get<Buffer<double>>(tensor.data);
    if (param.fixed) std::fill_n(numbers.data(), numbers.size(), 1.0);
    weights.push_back({NamedTensor::Role::kParam, param.name, std::move(tensor)});
  }
  return weights;
}

inline Numbers all_numbers(const NamedTensors& tensors) {
  Numbers all;
  for (const NamedTensor& each : tensors) {
    const Numbers part = numbers_of(each.tensor);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace lookback
