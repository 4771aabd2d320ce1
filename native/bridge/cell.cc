#include "bridge/cell.h"

#include "base/error.h"
#include "bridge/addon.h"
#include "bridge/convert.h"
#include "bridge/errors.h"
#include "bridge/result_arrays.h"
#include "bridge/worker.h"

namespace lookback {

Napi::Function CellWrap::define(Napi::Env env) {
  return DefineClass(
      env, "NativeCell",
      {InstanceMethod<&CellWrap::params>("params"), InstanceMethod<&CellWrap::forward>("forward")});
}

Napi::Value CellWrap::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string kind = read_word(info[0], "the kind of a cell");
    const Spec spec = read_spec(info[1], kind);
    const DType dtype = read_dtype(info[2]);
    const DeviceKind device = read_device(info[3]);
    AddonData& data = addon_data(env);
    data.new_cell = make_cell_runner(kind, spec, dtype, device);
    return data.cell_class.New({});
  });
}

CellWrap::CellWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CellWrap>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    cell_ = std::move(addon_data(env).new_cell);
    REQUIRE(cell_ != nullptr, kState, "a cell is made by createCell, not by its constructor");
  });
}

void CellWrap::Finalize(Napi::BasicEnv env) {
  cell_.reset();
  report_memory(env, 0);
}

void CellWrap::report_memory(Napi::BasicEnv env, int64_t bytes) {
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes - reported_);
  reported_ = bytes;
}

Napi::Value CellWrap::params(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::vector<ParamInfo>& params = cell_->params();
    const Napi::Array list = Napi::Array::New(env, params.size());
    for (uint32_t i = 0; i < params.size(); ++i) {
      const Napi::Object entry = Napi::Object::New(env);
      entry.Set("name", params[i].name);
      entry.Set("shape", write_shape(env, params[i].shape));
      list.Set(i, entry);
    }
    return list;
  });
}

Napi::Value CellWrap::forward(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto inputs = std::make_shared<NamedTensors>(read_tensors(info[0], "input"));
    const auto weights = std::make_shared<NamedTensors>(read_tensors(info[1], "weight"));
    const Napi::Object options = read_object(info[2], "the options of forward");
    const bool training = read_flag(options.Get("training"), "option training");
    const int threads =
        static_cast<int>(read_integer(options.Get("threads"), "option threads", 0, 1 << 20));
    const auto outputs =
        std::make_shared<ResultArrays>(env, cell_->outputs(*inputs), cell_->dtype());
    const auto tape = std::make_shared<std::unique_ptr<CallTape>>();
    JobPlan plan;
    plan.owner = Napi::Persistent(Value());
    plan.work = [=, cell = cell_](Job& job) {
      *tape = cell->forward(std::move(*inputs), std::move(*weights), outputs->tensors(), training,
                            threads, job.cancel_flag());
    };
    plan.result = [=, this](Napi::Env then) -> Napi::Value {
      report_memory(then, cell_->bytes());
      const Napi::Object object = Napi::Object::New(then);
      object.Set("outputs", outputs->object());
      AddonData& data = addon_data(then);
      data.new_tape = std::move(*tape);
      object.Set("tape", data.tape_class.New({}));
      return object;
    };
    return Job::start(env, std::move(plan)).promise;
  });
}

Napi::Function TapeWrap::define(Napi::Env env) {
  return DefineClass(
      env, "NativeTape",
      {InstanceMethod<&TapeWrap::backward>("backward"), InstanceMethod<&TapeWrap::saved>("saved"),
       InstanceMethod<&TapeWrap::dispose>("dispose")});
}

TapeWrap::TapeWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TapeWrap>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    tape_ = std::move(addon_data(env).new_tape);
    REQUIRE(tape_ != nullptr, kState, "a tape is made by forward, not by its constructor");
  });
}

Napi::Value TapeWrap::backward(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto upstream = std::make_shared<NamedTensors>(read_tensors(info[0], "upstream"));
    REQUIRE(tape_ != nullptr, kState,
            "this forward pass was gone back through or disposed; call forward again");
    std::shared_ptr<CallTape> tape = std::move(tape_);
    const auto grads = std::make_shared<ResultArrays>(env, tape->gradients(), tape->dtype());
    JobPlan plan;
    plan.work = [=](Job& job) mutable {
      // Gone before the promise resolves: its threads and memory serve the caller's next call.
      const std::shared_ptr<CallTape> used = std::move(tape);
      used->backward(std::move(*upstream), grads->tensors(), job.cancel_flag());
    };
    plan.result = [grads](Napi::Env) { return grads->object(); };
    return Job::start(env, std::move(plan)).promise;
  });
}

Napi::Value TapeWrap::saved(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    REQUIRE(tape_ != nullptr, kState,
            "this forward pass was gone back through or disposed; call forward again");
    return write_tensors(env, tape_->saved());
  });
}

Napi::Value TapeWrap::dispose(const Napi::CallbackInfo& info) {
  tape_.reset();
  return info.Env().Undefined();
}

}  // namespace lookback
