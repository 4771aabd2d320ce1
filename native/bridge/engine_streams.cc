/// The streams of an EngineWrap.
#include "bridge/convert.h"
#include "bridge/engine.h"
#include "bridge/errors.h"

namespace lookback {

Napi::Value EngineWrap::create_stream(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t batch = read_integer(info[0], "option batch", 1, kMaxInteger);
    const int64_t handle = idle().add_stream(batch);
    report_memory(env);
    return write_integer(env, handle);
  });
}

/// Borrows both arrays: nothing else runs until it returns.
Napi::Value EngineWrap::step_stream(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t handle = read_integer(info[0], "stream", 0, kMaxInteger);
    Engine& engine = idle();
    const Engine::StreamSize size = engine.stream_size(handle);
    const void* x = borrow_numbers(info[1], size.dtype, size.x, "x");
    void* y = borrow_numbers(info[2], size.dtype, size.y, "the output");
    engine.step_stream(handle, x, y);
    return env.Undefined();
  });
}

Napi::Value EngineWrap::stream_state(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const int64_t handle = read_integer(info[0], "stream", 0, kMaxInteger);
    return write_snapshot(env, idle().stream_state(handle));
  });
}

Napi::Value EngineWrap::set_stream_state(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t handle = read_integer(info[0], "stream", 0, kMaxInteger);
    idle().set_stream_state(handle, read_snapshot(info[1]));
    return env.Undefined();
  });
}

/// While a job runs its thread has the engine to itself, so the stream goes when that has settled.
Napi::Value EngineWrap::remove_stream(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t handle = read_integer(info[0], "stream", 0, kMaxInteger);
    Engine& engine = alive();
    if (job_ != nullptr) {
      engine.stream_size(handle);  // ERR_STATE where there is none; no job adds or removes one
      left_streams_.insert(handle);
      return env.Undefined();
    }
    engine.remove_stream(handle);
    report_memory(env);
    return env.Undefined();
  });
}

void EngineWrap::remove_left_streams() {
  // `dispose` may have taken the engine, and its streams with it, while the job ran.
  if (engine_ != nullptr) {
    for (const int64_t handle : left_streams_) engine_->remove_stream(handle);
  }
  left_streams_.clear();
}

}  // namespace lookback
