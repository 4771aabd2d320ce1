#include "bridge/result_arrays.h"

#include <cstring>

#include "base/large_blocks.h"
#include "base/memory.h"
#include "bridge/convert.h"

namespace lookback {
namespace {

/// A pass writes a result row by row, far apart: from this size on, in bytes, it would miss the TLB
/// at every step, but for huge pages. Where an array cannot have them, a block of ours, whose pages
/// are kept for the next call, and a copy at the end are the faster way.
constexpr int64_t kManyPages = int64_t{8} << 20;

template <class S>
constexpr DType kDType = std::is_same_v<S, double> ? DType::kFloat64 : DType::kFloat32;

}  // namespace

ResultArrays::ResultArrays(Napi::Env env, const std::vector<ResultInfo>& infos, DType dtype)
    : object_(Napi::Persistent(Napi::Object::New(env))) {
  for (const ResultInfo& info : infos) {
    HostTensor room = dtype == DType::kFloat64 ? room_for<double>(info) : room_for<float>(info);
    tensors_.push_back({NamedTensor::Role::kParam, info.name, std::move(room)});
  }
}

template <class S>
HostTensor ResultArrays::room_for(const ResultInfo& info) {
  const char* const what = info.name.c_str();
  const int64_t count = element_count(info.shape, what);
  const int64_t bytes = checked_mul(count, static_cast<int64_t>(sizeof(S)), what);
  const Napi::Env env = object_.Env();
  // V8 ends the process where it cannot allocate a buffer.
  require_memory(bytes, what);
  const Napi::TypedArray data = new_array(env, kDType<S>, count, info.zeroed);
  const Napi::Object entry = Napi::Object::New(env);
  entry.Set("shape", write_shape(env, info.shape));
  entry.Set("data", data);
  object_.Value().Set(info.name, entry);
  void* const numbers = borrow_numbers(data, kDType<S>, count, info.name);
  if (bytes < kManyPages || expect_huge_pages(numbers, static_cast<size_t>(bytes))) {
    return {info.shape, Buffer<S>::over(static_cast<S*>(numbers), count)};
  }
  copies_.push_back({tensors_.size(), numbers});
  return {info.shape, info.zeroed ? Buffer<S>(count, what) : Buffer<S>::for_overwrite(count, what)};
}

NamedTensors& ResultArrays::tensors() {
  for (NamedTensor& each : tensors_) {
    const auto touch = [](auto& numbers) {
      if (numbers.bytes() < kManyPages)
        fault_in(numbers.data(), static_cast<size_t>(numbers.bytes()));
    };
    std::visit(touch, each.tensor.data);
  }
  return tensors_;
}

Napi::Value ResultArrays::object() {
  for (const Copy& each : copies_) {
    const auto copy = [&](const auto& numbers) {
      const auto bytes = static_cast<size_t>(numbers.bytes());
      fault_in(each.array, bytes);
      std::memcpy(each.array, numbers.data(), bytes);
    };
    std::visit(copy, tensors_[each.tensor].tensor.data);
  }
  return object_.Value();
}

}  // namespace lookback
