#include "bridge/operation.h"

#include "base/error.h"
#include "bridge/convert.h"
#include "bridge/errors.h"
#include "parametrization/operations.h"

namespace lookback {

Napi::Value operate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string name = read_word(info[0], "the name of an operation");
    const Spec spec = read_spec(info[1], name);
    NamedArrays given;
    for (NamedTensor& each : read_tensors(info[2], name)) {
      std::vector<int64_t> shape = each.tensor.shape;
      const Buffer<double> numbers =
          take_numbers<double>(std::move(each.tensor), each.name.c_str());
      given[each.name] = {std::move(shape), {numbers.data(), numbers.data() + numbers.size()}};
    }
    NamedTensors results;
    for (const auto& [key, array] : run_operation(name, spec, given)) {
      results.push_back({NamedTensor::Role::kParam, key,
                         copy_tensor(array.shape, array.numbers.data(), "a result")});
    }
    return write_tensors(env, results);
  });
}

}  // namespace lookback
