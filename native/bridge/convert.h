/// JavaScript values to native ones and back. Everything is copied; nothing here keeps a reference
/// to a JavaScript buffer. Wrong types are `Error`s that name the value; getters that throw do so
/// through `Napi::Error`.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/spec.h"
#include "model/host_tensor.h"
#include "model/trainer.h"

namespace lookback {

/// Up to here a JavaScript number holds every whole number.
inline constexpr int64_t kMaxInteger = (int64_t{1} << 53) - 1;

/// Each throws ERR_OPTION where the value is of another type or out of range; `what` names it.
Napi::Object read_object(const Napi::Value& value, const std::string& what);
std::string read_word(const Napi::Value& value, const std::string& what);
bool read_flag(const Napi::Value& value, const std::string& what);
double read_number(const Napi::Value& value, const std::string& what);
/// A whole number within [low, high].
int64_t read_integer(const Napi::Value& value, const std::string& what, int64_t low, int64_t high);
/// 'float32' or 'float64'.
DType read_dtype(const Napi::Value& value);
/// 'cpu' or 'emulated'.
DeviceKind read_device(const Napi::Value& value);
/// An object of strings, finite numbers and booleans.
/// What is under the key `other` goes there as it is.
Spec read_spec(const Napi::Value& value, const std::string& what, const char* other = "",
               Napi::Value* other_value = nullptr);

/// Calls f(key, value) for each own enumerable string key.
void for_each_entry(const Napi::Object& object,
                    const std::function<void(const std::string&, const Napi::Value&)>& f);

/// { shape, data } with data a Float32Array, Float64Array or Int32Array of as many numbers as the
/// shape says. A detached array has none. Throws ERR_SHAPE, ERR_MEMORY.
HostTensor read_tensor(const Napi::Value& value, const std::string& what);
/// An object of tensors.
NamedTensors read_tensors(const Napi::Value& value, const std::string& what);
/// A list of { role, name, shape, data }.
NamedTensors read_snapshot(const Napi::Value& value);
/// The numbers of a typed array of that type with `count` entries, where they lie; only until the
/// next call into JavaScript. Throws ERR_SHAPE.
void* borrow_numbers(const Napi::Value& value, DType dtype, int64_t count, const std::string& what);
/// An Int32Array, or null or undefined for none.
std::optional<std::vector<int32_t>> read_lengths(const Napi::Value& value);
/// A Uint32Array.
std::vector<uint32_t> read_rows(const Napi::Value& value);

/// An array of JavaScript's own. Not zeroed, its contents are undefined. Throws ERR_MEMORY where no
/// typed array is that long; that there is memory for it has been asked before.
Napi::TypedArray new_array(Napi::Env env, DType dtype, int64_t count, bool zeroed);

Napi::Number write_integer(Napi::Env env, int64_t value);
Napi::Value write_shape(Napi::Env env, const std::vector<int64_t>& shape);
/// { shape, data }. Throws ERR_MEMORY.
Napi::Value write_tensor(Napi::Env env, const HostTensor& tensor);
/// An object of tensors by name.
Napi::Value write_tensors(Napi::Env env, const NamedTensors& tensors);
/// A list of { role, name, shape, data }.
Napi::Value write_snapshot(Napi::Env env, const NamedTensors& tensors);
Napi::Value write_sums(Napi::Env env, const Sums& sums);

/// Null or undefined: none.
std::optional<HostTensor> read_optional(const Napi::Value& value, const char* what);

/// { stateful, burnIn } of a call, both of which may be missing.
Continuing read_continuing(const Napi::Object& call);

/// { initial, wanted }: named tensors or null, and whether the last states are to be told; null for
/// a call without states.
std::shared_ptr<StateCall> read_states(const Napi::Value& value);

/// { outputs, states }: the states where they were wanted.
Napi::Value write_outputs(Napi::Env env, const HostTensor& output, const StateCall* states);

}  // namespace lookback
