#include "bridge/addon.h"

#include "backend/backend.h"
#include "base/error.h"
#include "base/file_lock.h"
#include "base/rng.h"
#include "bridge/cell.h"
#include "bridge/convert.h"
#include "bridge/engine.h"
#include "bridge/errors.h"
#include "bridge/operation.h"

#ifndef LOOKBACK_VERSION
#error "LOOKBACK_VERSION is not defined; the build takes it from package.json"
#endif
#ifndef LOOKBACK_BUILD
#define LOOKBACK_BUILD "unknown"
#endif

namespace lookback {

AddonData& addon_data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

namespace {

#if defined(LOOKBACK_EMULATED)
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif
#if defined(__clang__)
constexpr char kCompiler[] = "clang " __clang_version__;
#else
constexpr char kCompiler[] = "gcc " __VERSION__;
#endif

Napi::Value set_error_class(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    REQUIRE(info[0].IsFunction(), kOption, "the error class is not a class");
    addon_data(env).error_class = Napi::Persistent(info[0].As<Napi::Function>());
    return env.Undefined();
  });
}

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const CpuReport cpu = cpu_report();
    const Napi::Object object = Napi::Object::New(env);
    const Napi::Array available = Napi::Array::New(env);
    for (const std::string& isa : cpu.available) available.Set(available.Length(), isa);
    object.Set("version", LOOKBACK_VERSION);
    object.Set("isa", cpu.isa);
    object.Set("isaReason", cpu.reason);
    object.Set("isaAvailable", available);
    object.Set("threads", cpu.threads);
    object.Set("threadsReason", cpu.threads_reason);
    object.Set("compiler", kCompiler);
    object.Set("build", LOOKBACK_BUILD);
    object.Set("emulated", kEmulated);
    return object;
  });
}

Napi::Value cuda_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const CudaReport report = cuda_report();
    const Napi::Object object = Napi::Object::New(env);
    const Napi::Array list = Napi::Array::New(env);
    for (const CudaReport::Device& device : report.devices) {
      const Napi::Object each = Napi::Object::New(env);
      each.Set("name", device.name);
      each.Set("capability", text(device.major, ".", device.minor));
      each.Set("totalBytes", static_cast<double>(device.total_bytes));
      each.Set("freeBytes", static_cast<double>(device.free_bytes));
      each.Set("multiprocessors", device.multiprocessors);
      each.Set("sharedBytes", static_cast<double>(device.shared_bytes));
      each.Set("maxCluster", device.max_cluster);
      each.Set("driver", text(device.driver / 1000, ".", device.driver % 1000 / 10));
      list.Set(list.Length(), each);
    }
    object.Set("library", report.library);
    object.Set("build", report.build);
    if (report.reason.empty()) {
      object.Set("reason", env.Null());
    } else {
      object.Set("reason", report.reason);
    }
    object.Set("devices", list);
    return object;
  });
}

Napi::Value cublas_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const CublasReport report = cublas_report();
    const Napi::Object object = Napi::Object::New(env);
    object.Set("library", report.library);
    object.Set("version", report.version);
    object.Set("reason", report.reason);
    return object;
  });
}

Napi::Value uniforms(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto seed =
        static_cast<uint64_t>(read_integer(info[0], "seed", 0, (int64_t{1} << 53) - 1));
    const auto stream = static_cast<uint32_t>(read_integer(info[1], "stream", 0, UINT32_MAX));
    const auto count = static_cast<size_t>(read_integer(info[2], "count", 0, int64_t{1} << 31));
    require_memory(static_cast<int64_t>(count * sizeof(double)), "uniforms");
    Napi::Float64Array numbers = Napi::Float64Array::New(env, count);
    for (size_t i = 0; i < count; ++i) {
      numbers[i] = uniform_at(seed, RandomUse::kCaller, stream, i);
    }
    return numbers;
  });
}

Napi::Value lock_open_file(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t descriptor = read_integer(info[0], "a file descriptor", 0, INT32_MAX);
    switch (lock_file(static_cast<int>(descriptor))) {
      case FileLock::kTaken:
        return Napi::String::New(env, "taken");
      case FileLock::kHeldElsewhere:
        return Napi::String::New(env, "held");
      default:
        return Napi::String::New(env, "unsupported");
    }
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  env.SetInstanceData(data);
  data->engine_class = Napi::Persistent(EngineWrap::define(env));
  data->cell_class = Napi::Persistent(CellWrap::define(env));
  data->tape_class = Napi::Persistent(TapeWrap::define(env));
  // Hooks run newest first, so this one runs after the channels of all jobs have begun to close and
  // before their memory goes: the moment to wait for the threads.
  env.AddCleanupHook([jobs = data->jobs] { jobs->stop_all(); });
  exports.Set("setErrorClass", Napi::Function::New<set_error_class>(env, "setErrorClass"));
  exports.Set("buildInfo", Napi::Function::New<build_info>(env, "buildInfo"));
  exports.Set("cudaInfo", Napi::Function::New<cuda_info>(env, "cudaInfo"));
  exports.Set("cublasInfo", Napi::Function::New<cublas_info>(env, "cublasInfo"));
  exports.Set("createCell", Napi::Function::New<CellWrap::create>(env, "createCell"));
  exports.Set("createEngine", Napi::Function::New<EngineWrap::create>(env, "createEngine"));
  exports.Set("operate", Napi::Function::New<operate>(env, "operate"));
  exports.Set("lockFile", Napi::Function::New<lock_open_file>(env, "lockFile"));
  exports.Set("uniforms", Napi::Function::New<uniforms>(env, "uniforms"));
#if defined(LOOKBACK_EMULATED)
  export_test_hooks(env, exports);
#endif
  return exports;
}

}  // namespace
}  // namespace lookback

static Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) {
  return lookback::initialise(env, exports);
}

NODE_API_MODULE(lookback, initialise_addon)
