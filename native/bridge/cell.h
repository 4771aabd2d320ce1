/// `NativeCell` and `NativeTape` of lib/native.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "model/cell_call.h"

namespace lookback {

class CellWrap : public Napi::ObjectWrap<CellWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  /// `createCell(kind, spec, dtype, device)`.
  static Napi::Value create(const Napi::CallbackInfo& info);

  /// Wraps `AddonData::new_cell`; ERR_STATE where there is none.
  explicit CellWrap(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

 private:
  Napi::Value params(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);

  /// Tells the garbage collector that `bytes` of native memory hang on this object, tapes in use
  /// included. A tape does not report itself: it comes and goes with every call, and each time that
  /// memory seems to grow beyond a limit, V8 marks its heap for some milliseconds, on this thread
  /// and on those that compute.
  void report_memory(Napi::BasicEnv env, int64_t bytes);

  std::shared_ptr<const CellRunner> cell_;  ///< shared with its running jobs
  int64_t reported_ = 0;
};

class TapeWrap : public Napi::ObjectWrap<TapeWrap> {
 public:
  static Napi::Function define(Napi::Env env);

  /// Wraps `AddonData::new_tape`; ERR_STATE where there is none.
  explicit TapeWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value backward(const Napi::CallbackInfo& info);
  Napi::Value saved(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::unique_ptr<CallTape> tape_;  ///< null once it is used or disposed
};

}  // namespace lookback
