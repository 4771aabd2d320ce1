#include "bridge/convert.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/large_blocks.h"

namespace lookback {
namespace {

/// Largest rank of any tensor of ours, with room.
constexpr uint32_t kMaxRank = 8;
/// Elements that a typed array of every supported V8 can have; asking for more ends the process.
constexpr int64_t kMaxElements = (int64_t{1} << 32) - 1;

const char* type_name(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_bigint:
      return "a bigint";
    default:
      return value.IsArray() ? "an array" : "an object";
  }
}

/// What a typed array holds right now; read it after the last call into JavaScript.
struct Elements {
  napi_typedarray_type type;
  const void* data;
  int64_t count;
};

Elements elements_of(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsTypedArray(), kShape, what, " is ", type_name(value), "; expected a typed array");
  Elements elements{};
  size_t count = 0;
  void* data = nullptr;
  const napi_status status =
      napi_get_typedarray_info(value.Env(), value, &elements.type, &count, &data, nullptr, nullptr);
  NAPI_THROW_IF_FAILED(value.Env(), status, elements);
  elements.data = data;
  elements.count = static_cast<int64_t>(count);
  return elements;
}

template <class T>
Buffer<T> copy_elements(const Elements& elements, const std::string& what) {
  Buffer<T> copy = Buffer<T>::for_overwrite(elements.count, what.c_str());
  if (elements.count > 0) {
    std::memcpy(copy.data(), elements.data, static_cast<size_t>(elements.count) * sizeof(T));
  }
  return copy;
}

std::vector<int64_t> read_shape(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsArray(), kShape, "the shape of ", what, " is ", type_name(value),
          "; expected an array of whole numbers");
  const auto list = value.As<Napi::Array>();
  const uint32_t rank = list.Length();
  REQUIRE(rank <= kMaxRank, kShape, "the shape of ", what, " has ", rank,
          " dimensions; expected up to ", kMaxRank);
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < rank; ++i) {
    const Napi::Value extent = list[i];
    const double number = extent.IsNumber() ? extent.As<Napi::Number>().DoubleValue() : -1;
    REQUIRE(
        number >= 0 && number <= static_cast<double>(kMaxInteger) && std::floor(number) == number,
        kShape, "dimension ", i, " of ", what, " is not a whole number, 0 or more");
    shape.push_back(static_cast<int64_t>(number));
  }
  return shape;
}

/// Sizes for which clearing costs more than an object to avoid it, up to what every Node's buffers
/// can have.
constexpr size_t kLeastUncleared = size_t{1} << 16, kMostUncleared = size_t{1} << 30;

/// Of `count` elements. Node has memory that is not cleared for its buffers only: the array is made
/// over the memory of one.
template <class Array>
Array array_of(Napi::Env env, int64_t count, bool zeroed) {
  REQUIRE(count <= kMaxElements, kMemory, "a result has ", count,
          " numbers; a typed array holds up to ", kMaxElements, ", use smaller batches");
  const auto size = static_cast<size_t>(count);
  const size_t bytes = size * sizeof(*Array().Data());
  if (zeroed || bytes < kLeastUncleared || bytes > kMostUncleared) return Array::New(env, size);
  const auto buffer = Napi::Buffer<uint8_t>::New(env, bytes);
  return Array::New(env, size, buffer.ArrayBuffer(), buffer.ByteOffset());
}

template <class T, class Array>
Napi::Value write_numbers(Napi::Env env, const Buffer<T>& numbers) {
  const size_t bytes = static_cast<size_t>(numbers.size()) * sizeof(T);
  // V8 ends the process where it cannot allocate a buffer.
  require_memory(static_cast<int64_t>(bytes), "a result");
  Array array = array_of<Array>(env, numbers.size(), false);
  fault_in(array.Data(), bytes);
  if (bytes > 0) std::memcpy(array.Data(), numbers.data(), bytes);
  return array;
}

Napi::Value write_data(Napi::Env env, const HostTensor& tensor) {
  if (const auto* floats = std::get_if<Buffer<float>>(&tensor.data)) {
    return write_numbers<float, Napi::Float32Array>(env, *floats);
  }
  if (const auto* doubles = std::get_if<Buffer<double>>(&tensor.data)) {
    return write_numbers<double, Napi::Float64Array>(env, *doubles);
  }
  return write_numbers<int32_t, Napi::Int32Array>(env, std::get<Buffer<int32_t>>(tensor.data));
}

constexpr const char* kRoles[] = {"param", "buffer", "slot", "state"};

NamedTensor::Role read_role(const Napi::Value& value) {
  const std::string word = read_word(value, "the role of a tensor");
  for (int i = 0; i < 4; ++i) {
    if (word == kRoles[i]) return static_cast<NamedTensor::Role>(i);
  }
  fail(ErrorCode::kFormat,
       text("the role of a tensor is '", word, "'; expected 'param', 'buffer', 'slot' or 'state'"));
}

}  // namespace

Napi::Object read_object(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsObject(), kOption, what, " is ", type_name(value), "; expected an object");
  return value.As<Napi::Object>();
}

std::string read_word(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsString(), kOption, what, " is ", type_name(value), "; expected a string");
  return value.As<Napi::String>().Utf8Value();
}

bool read_flag(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsBoolean(), kOption, what, " is ", type_name(value), "; expected true or false");
  return value.As<Napi::Boolean>().Value();
}

double read_number(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsNumber(), kOption, what, " is ", type_name(value), "; expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

int64_t read_integer(const Napi::Value& value, const std::string& what, int64_t low, int64_t high) {
  const double number = read_number(value, what);
  REQUIRE(number >= static_cast<double>(low) && number <= static_cast<double>(high) &&
              std::floor(number) == number,
          kOption, what, " is ", number, "; expected a whole number in ", low, "..", high);
  return static_cast<int64_t>(number);
}

DType read_dtype(const Napi::Value& value) {
  const std::string word = read_word(value, "option dtype");
  REQUIRE(word == "float32" || word == "float64", kOption, "option dtype is '", word,
          "'; expected 'float32' or 'float64'");
  return word == "float64" ? DType::kFloat64 : DType::kFloat32;
}

DeviceKind read_device(const Napi::Value& value) {
  const std::string word = read_word(value, "option device");
  if (word == "cuda") return DeviceKind::kCuda;
  REQUIRE(word == "cpu" || word == "emulated", kDevice, "option device is '", word,
          "'; expected 'cpu' or 'cuda'");
  return word == "emulated" ? DeviceKind::kEmulated : DeviceKind::kCpu;
}

void for_each_entry(const Napi::Object& object,
                    const std::function<void(const std::string&, const Napi::Value&)>& f) {
  const Napi::Env env = object.Env();
  napi_value keys = nullptr;
  const napi_status status = napi_get_all_property_names(
      env, object, napi_key_own_only,
      static_cast<napi_key_filter>(napi_key_enumerable | napi_key_skip_symbols),
      napi_key_numbers_to_strings, &keys);
  NAPI_THROW_IF_FAILED_VOID(env, status);
  const Napi::Array names(env, keys);
  const uint32_t count = names.Length();
  for (uint32_t i = 0; i < count; ++i) {
    const Napi::Value name = names[i];
    f(name.As<Napi::String>().Utf8Value(), object.Get(name));
  }
}

Spec read_spec(const Napi::Value& value, const std::string& what, const char* other,
               Napi::Value* other_value) {
  Spec spec;
  for_each_entry(read_object(value, what), [&](const std::string& key, const Napi::Value& entry) {
    if (other_value != nullptr && key == other) {
      *other_value = entry;
    } else if (entry.IsBoolean()) {
      spec.set(key, entry.As<Napi::Boolean>().Value());
    } else if (entry.IsNumber()) {
      spec.set(key, entry.As<Napi::Number>().DoubleValue());
    } else if (entry.IsString()) {
      spec.set(key, entry.As<Napi::String>().Utf8Value());
    } else {
      fail(ErrorCode::kOption, text(what, ": option ", key, " is ", type_name(entry),
                                    "; expected a string, a number or a boolean"));
    }
  });
  return spec;
}

void* borrow_numbers(const Napi::Value& value, DType dtype, int64_t count,
                     const std::string& what) {
  const Elements elements = elements_of(value, what);
  const bool fits =
      elements.type == (dtype == DType::kFloat64 ? napi_float64_array : napi_float32_array);
  REQUIRE(fits && elements.count == count, kShape, what, " has ", elements.count,
          " entries; expected a ", dtype == DType::kFloat64 ? "Float64Array" : "Float32Array",
          " of ", count);
  return const_cast<void*>(elements.data);
}

HostTensor read_tensor(const Napi::Value& value, const std::string& what) {
  REQUIRE(value.IsObject(), kShape, what, " is ", type_name(value), "; expected { shape, data }");
  const auto object = value.As<Napi::Object>();
  HostTensor tensor;
  tensor.shape = read_shape(object.Get("shape"), what);
  const int64_t expected = element_count(tensor.shape, what.c_str());
  const Elements elements = elements_of(object.Get("data"), "the data of " + what);
  REQUIRE(elements.count == expected, kShape, what, " has shape ", shape_text(tensor.shape),
          " and ", elements.count, " numbers; expected ", expected,
          elements.count == 0 ? " (was its buffer transferred?)" : "");
  switch (elements.type) {
    case napi_float32_array:
      tensor.data = copy_elements<float>(elements, what);
      break;
    case napi_float64_array:
      tensor.data = copy_elements<double>(elements, what);
      break;
    case napi_int32_array:
      tensor.data = copy_elements<int32_t>(elements, what);
      break;
    default:
      fail(ErrorCode::kShape, text("the data of ", what,
                                   " is a typed array of another kind; "
                                   "expected Float32Array, Float64Array or Int32Array"));
  }
  return tensor;
}

NamedTensors read_tensors(const Napi::Value& value, const std::string& what) {
  NamedTensors tensors;
  for_each_entry(read_object(value, what), [&](const std::string& name, const Napi::Value& entry) {
    tensors.push_back({NamedTensor::Role::kParam, name, read_tensor(entry, what + " " + name)});
  });
  return tensors;
}

NamedTensors read_snapshot(const Napi::Value& value) {
  REQUIRE(value.IsArray(), kFormat, "tensors is ", type_name(value), "; expected an array");
  const auto list = value.As<Napi::Array>();
  NamedTensors tensors;
  const uint32_t count = list.Length();
  for (uint32_t i = 0; i < count; ++i) {
    const Napi::Object entry = read_object(list[i], text("tensor ", i));
    const std::string name = read_word(entry.Get("name"), text("the name of tensor ", i));
    const NamedTensor::Role role = read_role(entry.Get("role"));
    tensors.push_back({role, name, read_tensor(entry, "tensor " + name)});
  }
  return tensors;
}

std::optional<std::vector<int32_t>> read_lengths(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  const Elements elements = elements_of(value, "lengths");
  REQUIRE(elements.type == napi_int32_array, kShape,
          "lengths is a typed array of another kind; expected an Int32Array");
  const auto* data = static_cast<const int32_t*>(elements.data);
  return std::vector<int32_t>(data, data + elements.count);
}

std::vector<uint32_t> read_rows(const Napi::Value& value) {
  const Elements elements = elements_of(value, "rows");
  REQUIRE(elements.type == napi_uint32_array, kShape,
          "rows is a typed array of another kind; expected a Uint32Array");
  const auto* data = static_cast<const uint32_t*>(elements.data);
  return std::vector<uint32_t>(data, data + elements.count);
}

Napi::TypedArray new_array(Napi::Env env, DType dtype, int64_t count, bool zeroed) {
  if (dtype == DType::kFloat64) return array_of<Napi::Float64Array>(env, count, zeroed);
  return array_of<Napi::Float32Array>(env, count, zeroed);
}

Napi::Number write_integer(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

Napi::Value write_shape(Napi::Env env, const std::vector<int64_t>& shape) {
  const Napi::Array list = Napi::Array::New(env, shape.size());
  for (uint32_t i = 0; i < shape.size(); ++i) {
    list.Set(i, write_integer(env, shape[i]));
  }
  return list;
}

Napi::Value write_tensor(Napi::Env env, const HostTensor& tensor) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("shape", write_shape(env, tensor.shape));
  object.Set("data", write_data(env, tensor));
  return object;
}

Napi::Value write_tensors(Napi::Env env, const NamedTensors& tensors) {
  const Napi::Object object = Napi::Object::New(env);
  for (const NamedTensor& each : tensors) object.Set(each.name, write_tensor(env, each.tensor));
  return object;
}

Napi::Value write_snapshot(Napi::Env env, const NamedTensors& tensors) {
  const Napi::Array list = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    const Napi::Object entry = write_tensor(env, tensors[i].tensor).As<Napi::Object>();
    entry.Set("role", Napi::String::New(env, kRoles[static_cast<int>(tensors[i].role)]));
    entry.Set("name", Napi::String::New(env, tensors[i].name));
    list.Set(i, entry);
  }
  return list;
}

Napi::Value write_sums(Napi::Env env, const Sums& sums) {
  const Napi::Object object = Napi::Object::New(env);
  object.Set("rows", Napi::Number::New(env, static_cast<double>(sums.rows)));
  object.Set("steps", Napi::Number::New(env, static_cast<double>(sums.steps)));
  object.Set("weight", Napi::Number::New(env, sums.weight));
  object.Set("count", Napi::Number::New(env, sums.count));
  object.Set("loss", Napi::Number::New(env, sums.loss));
  object.Set("hits", Napi::Number::New(env, sums.hits));
  object.Set("absolute", Napi::Number::New(env, sums.absolute));
  object.Set("seconds", Napi::Number::New(env, sums.seconds));
  return object;
}

std::optional<HostTensor> read_optional(const Napi::Value& value, const char* what) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  return read_tensor(value, what);
}

Continuing read_continuing(const Napi::Object& call) {
  Continuing continuing;
  const Napi::Value stateful = call.Get("stateful"), burn_in = call.Get("burnIn");
  if (!stateful.IsUndefined()) continuing.stateful = read_flag(stateful, "stateful");
  if (!burn_in.IsUndefined())
    continuing.burn_in = read_integer(burn_in, "burnIn", 0, (int64_t{1} << 53) - 1);
  return continuing;
}

std::shared_ptr<StateCall> read_states(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  const Napi::Object given = read_object(value, "states");
  const auto states = std::make_shared<StateCall>();
  const Napi::Value initial = given.Get("initial");
  if (!initial.IsNull()) states->initial = read_tensors(initial, "state");
  states->wanted = read_flag(given.Get("wanted"), "wanted");
  return states;
}

Napi::Value write_outputs(Napi::Env env, const HostTensor& output, const StateCall* states) {
  const Napi::Object result = Napi::Object::New(env);
  result.Set("outputs", write_tensor(env, output));
  if (states != nullptr && states->wanted) result.Set("states", write_tensors(env, states->final));
  return result;
}

}  // namespace lookback
