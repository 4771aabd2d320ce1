/// The engine as a JavaScript object: spec in, numbers out (`NativeEngine` in lib/native.ts).
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <set>

#include "bridge/worker.h"
#include "model/engine.h"

namespace lookback {

class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  /// `createEngine(spec)`.
  static Napi::Value create(const Napi::CallbackInfo& info);

  /// Wraps `AddonData::new_engine`; ERR_STATE where there is none.
  explicit EngineWrap(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

 private:
  Napi::Value layers(const Napi::CallbackInfo& info);
  Napi::Value params(const Napi::CallbackInfo& info);
  Napi::Value explain(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  Napi::Value add_data(const Napi::CallbackInfo& info);
  Napi::Value remove_data(const Napi::CallbackInfo& info);
  Napi::Value train(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value predict(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value backward(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value reset_states(const Napi::CallbackInfo& info);
  Napi::Value create_stream(const Napi::CallbackInfo& info);
  Napi::Value step_stream(const Napi::CallbackInfo& info);
  Napi::Value stream_state(const Napi::CallbackInfo& info);
  Napi::Value set_stream_state(const Napi::CallbackInfo& info);
  Napi::Value remove_stream(const Napi::CallbackInfo& info);
  Napi::Value gradients(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value set_tensors(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value set_counters(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value set_call(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  /// The engine; ERR_STATE where it is disposed.
  Engine& alive() const;
  /// The engine, with no job running; ERR_STATE otherwise.
  Engine& idle() const;
  /// Starts `work(engine, job)` as the one job; the promise resolves with `result(env)`.
  Napi::Value start_job(Napi::Env env, std::function<void(Engine&, Job&)> work,
                        std::function<Napi::Value(Napi::Env)> result,
                        Napi::FunctionReference on_progress = {});
  /// Frees those that JavaScript let go of while a job ran.
  void remove_left_streams();
  /// Tells the garbage collector how much native memory hangs on this object.
  void report_memory(Napi::BasicEnv env);

  std::unique_ptr<Engine> engine_;
  Job* job_ = nullptr;                 ///< the running one
  std::string call_ = "another call";  ///< whose jobs these are, for errors
  std::set<int64_t> left_streams_;     ///< removed when it has ended; none while no job runs
  MemoryUse memory_;                   ///< as last measured, while no job ran
  int64_t reported_ = 0;
};

}  // namespace lookback
