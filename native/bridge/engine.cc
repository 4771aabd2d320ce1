#include "bridge/engine.h"

#include "base/error.h"
#include "bridge/addon.h"
#include "bridge/convert.h"
#include "bridge/errors.h"

namespace lookback {
namespace {

/// More layers than this are a mistake, not a model.
constexpr uint32_t kMaxLayers = 10000;
constexpr int kMaxDepth = 8;
/// Groups of parameters, and parameters of a group.
constexpr uint32_t kMaxGroups = 1000000;

/// An array of layers; those inside another are in its `inside`.
std::vector<LayerSpec> read_layers(const Napi::Value& value, const std::string& what, int depth) {
  REQUIRE(value.IsArray(), kOption, what, " is not an array; expected a list of layers");
  REQUIRE(depth <= kMaxDepth, kOption, what, " is nested more than ", kMaxDepth, " deep");
  const auto list = value.As<Napi::Array>();
  REQUIRE(list.Length() <= kMaxLayers, kOption, what, " has ", list.Length(),
          " entries; expected up to ", kMaxLayers);
  std::vector<LayerSpec> layers;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const std::string where = text(what, "[", i, "]");
    const Napi::Value entry = list[i];
    Napi::Value inner = value.Env().Undefined();
    Spec options = read_spec(entry, where, "inside", &inner);
    layers.emplace_back(std::move(options));
    if (!inner.IsUndefined())
      layers.back().inner = read_layers(inner, where + ".inside", depth + 1);
  }
  return layers;
}

EngineSpec read_engine_spec(const Napi::Value& value) {
  const Napi::Object object = read_object(value, "the engine's spec");
  EngineSpec spec;
  spec.dtype = read_dtype(object.Get("dtype"));
  spec.device = read_device(object.Get("device"));
  spec.seed =
      static_cast<uint64_t>(read_integer(object.Get("seed"), "option seed", 0, kMaxInteger));
  spec.threads =
      static_cast<int>(read_integer(object.Get("threads"), "option threads", 0, 1 << 20));
  spec.input_size = read_integer(object.Get("inputSize"), "option inputSize", 1, int64_t{1} << 30);
  spec.layers = read_layers(object.Get("layers"), "option layers", 1);
  return spec;
}

/// A list of { params, optimizer, trainable }, or undefined for none.
std::vector<ParamGroup> read_groups(const Napi::Value& value) {
  std::vector<ParamGroup> groups;
  if (value.IsUndefined()) return groups;
  const auto length_of = [](const Napi::Value& list, const std::string& what) {
    REQUIRE(list.IsArray(), kOption, what, " is not an array");
    const uint32_t length = list.As<Napi::Array>().Length();
    REQUIRE(length <= kMaxGroups, kOption, what, " has ", length, " entries; expected up to ",
            kMaxGroups);
    return length;
  };
  for (uint32_t i = 0; i < length_of(value, "option groups"); ++i) {
    const std::string where = text("group ", i);
    const Napi::Object object = read_object(value.As<Napi::Array>().Get(i), where);
    const Napi::Value params = object.Get("params");
    ParamGroup group;
    for (uint32_t j = 0; j < length_of(params, where + ": params"); ++j) {
      group.params.push_back(read_word(params.As<Napi::Array>().Get(j), where + ": a parameter"));
    }
    group.optimizer = read_spec(object.Get("optimizer"), where + ": optimizer");
    group.trainable = read_flag(object.Get("trainable"), where + ": trainable");
    groups.push_back(std::move(group));
  }
  return groups;
}

/// { batch, steps, training, gpu: { name, multiprocessors, sharedBytes, maxCluster, cublas } or
/// null
/// }; cublas as `cublasInfo` gives it, of a GPU that is here, or undefined.
PlanCall read_plan_call(const Napi::Value& value) {
  const Napi::Object object = read_object(value, "what to explain");
  PlanCall call;
  call.batch = read_integer(object.Get("batch"), "option batchSize", 1, int64_t{1} << 30);
  call.steps = read_integer(object.Get("steps"), "option steps", 1, int64_t{1} << 30);
  call.training = read_flag(object.Get("training"), "option training");
  const Napi::Value gpu = object.Get("gpu");
  if (gpu.IsNull()) return call;
  const Napi::Object size = read_object(gpu, "option on");
  call.gpu.emplace();
  call.gpu->name = read_word(size.Get("name"), "option on.name");
  call.gpu->multiprocessors = static_cast<int>(
      read_integer(size.Get("multiprocessors"), "option on.multiprocessors", 1, 1 << 20));
  call.gpu->shared_bytes =
      read_integer(size.Get("sharedBytes"), "option on.sharedBytes", 0, int64_t{1} << 30);
  call.gpu->max_cluster =
      static_cast<int>(read_integer(size.Get("maxCluster"), "option on.maxCluster", 1, 16));
  if (size.Get("cublas").IsUndefined()) return call;
  const Napi::Object cublas = read_object(size.Get("cublas"), "what is known of cuBLAS");
  call.gpu->cublas = {read_word(cublas.Get("library"), "its file"),
                      read_word(cublas.Get("version"), "its version"),
                      read_word(cublas.Get("reason"), "the reason")};
  return call;
}

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {InstanceMethod<&EngineWrap::layers>("layers"),
                      InstanceMethod<&EngineWrap::explain>("explain"),
                      InstanceMethod<&EngineWrap::params>("params"),
                      InstanceMethod<&EngineWrap::compile>("compile"),
                      InstanceMethod<&EngineWrap::add_data>("addData"),
                      InstanceMethod<&EngineWrap::remove_data>("removeData"),
                      InstanceMethod<&EngineWrap::train>("train"),
                      InstanceMethod<&EngineWrap::evaluate>("evaluate"),
                      InstanceMethod<&EngineWrap::predict>("predict"),
                      InstanceMethod<&EngineWrap::forward>("forward"),
                      InstanceMethod<&EngineWrap::backward>("backward"),
                      InstanceMethod<&EngineWrap::step>("step"),
                      InstanceMethod<&EngineWrap::reset_states>("resetStates"),
                      InstanceMethod<&EngineWrap::create_stream>("createStream"),
                      InstanceMethod<&EngineWrap::step_stream>("stepStream"),
                      InstanceMethod<&EngineWrap::stream_state>("streamState"),
                      InstanceMethod<&EngineWrap::set_stream_state>("setStreamState"),
                      InstanceMethod<&EngineWrap::remove_stream>("removeStream"),
                      InstanceMethod<&EngineWrap::gradients>("gradients"),
                      InstanceMethod<&EngineWrap::tensors>("tensors"),
                      InstanceMethod<&EngineWrap::set_tensors>("setTensors"),
                      InstanceMethod<&EngineWrap::counters>("counters"),
                      InstanceMethod<&EngineWrap::set_counters>("setCounters"),
                      InstanceMethod<&EngineWrap::memory>("memory"),
                      InstanceMethod<&EngineWrap::set_call>("setCall"),
                      InstanceMethod<&EngineWrap::cancel>("cancel"),
                      InstanceMethod<&EngineWrap::dispose>("dispose")});
}

Napi::Value EngineWrap::create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    AddonData& data = addon_data(env);
    data.new_engine = make_engine(read_engine_spec(info[0]));
    return data.engine_class.New({});
  });
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    engine_ = std::move(addon_data(env).new_engine);
    REQUIRE(engine_ != nullptr, kState,
            "an engine is made by createEngine, not by its constructor");
  });
  report_memory(env);
}

void EngineWrap::Finalize(Napi::BasicEnv env) {
  engine_.reset();
  report_memory(env);
}

Engine& EngineWrap::alive() const {
  REQUIRE(engine_ != nullptr, kState, "the model is disposed; build or load another");
  return *engine_;
}

Engine& EngineWrap::idle() const {
  Engine& engine = alive();
  REQUIRE(job_ == nullptr, kState, "the model is busy with ", call_,
          "; await it first, or use a second model");
  return engine;
}

void EngineWrap::report_memory(Napi::BasicEnv env) {
  memory_ = engine_ ? engine_->memory() : MemoryUse();
  const int64_t total = memory_.total();
  Napi::MemoryManagement::AdjustExternalMemory(env, total - reported_);
  reported_ = total;
}

Napi::Value EngineWrap::start_job(Napi::Env env, std::function<void(Engine&, Job&)> work,
                                  std::function<Napi::Value(Napi::Env)> result,
                                  Napi::FunctionReference on_progress) {
  Engine* engine = &idle();
  JobPlan plan;
  plan.owner = Napi::Persistent(Value());
  plan.work = [engine, work = std::move(work)](Job& job) {
    struct Scope {
      Engine* engine;
      ~Scope() { engine->set_cancel(nullptr); }
    } const scope{engine};
    engine->set_cancel(job.cancel_flag());
    work(*engine, job);
  };
  plan.result = std::move(result);
  plan.settled = [this](Napi::Env settled_env) {
    job_ = nullptr;
    remove_left_streams();
    report_memory(settled_env);
  };
  plan.on_progress = std::move(on_progress);
  const Job::Started started = Job::start(env, std::move(plan));
  job_ = started.job;
  return started.promise;
}

Napi::Value EngineWrap::explain(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    PlanCall call = read_plan_call(info[0]);
    call.beside = job_ != nullptr;
    const std::vector<LoopPlan> plans = alive().explain(call);
    const Napi::Array list = Napi::Array::New(env, plans.size());
    for (uint32_t i = 0; i < plans.size(); ++i) {
      const Napi::Object entry = Napi::Object::New(env);
      entry.Set("layer", plans[i].name);
      entry.Set("driver", plans[i].driver);
      entry.Set("text", plans[i].text);
      list.Set(i, entry);
    }
    return list;
  });
}

Napi::Value EngineWrap::layers(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::vector<LayerSummary> layers = alive().layers();
    const Napi::Array list = Napi::Array::New(env, layers.size());
    for (uint32_t i = 0; i < layers.size(); ++i) {
      const Napi::Object entry = Napi::Object::New(env);
      const Napi::Array shape = Napi::Array::New(env);
      if (layers[i].output.sequence) shape.Set(shape.Length(), env.Null());
      shape.Set(shape.Length(), write_integer(env, layers[i].output.features));
      entry.Set("name", layers[i].name);
      entry.Set("kind", layers[i].kind);
      entry.Set("outputShape", shape);
      entry.Set("params", write_integer(env, layers[i].params));
      list.Set(i, entry);
    }
    return list;
  });
}

Napi::Value EngineWrap::params(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::vector<Segment> segments = alive().params();
    const Napi::Array list = Napi::Array::New(env, segments.size());
    for (uint32_t i = 0; i < segments.size(); ++i) {
      const Napi::Object entry = Napi::Object::New(env);
      entry.Set("name", segments[i].name);
      entry.Set("shape", write_shape(env, segments[i].shape));
      entry.Set("size", write_integer(env, segments[i].size));
      list.Set(i, entry);
    }
    return list;
  });
}

Napi::Value EngineWrap::compile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object spec = read_object(info[0], "the compile spec");
    const Spec loss = read_spec(spec.Get("loss"), "loss");
    const Spec optimizer = read_spec(spec.Get("optimizer"), "optimizer");
    idle().compile(loss, optimizer, read_groups(spec.Get("groups")));
    report_memory(env);
    return env.Undefined();
  });
}

Napi::Value EngineWrap::add_data(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    HostTensor x = read_tensor(info[0], "x");
    std::optional<HostTensor> y = read_optional(info[1], "y");
    std::optional<std::vector<int32_t>> lengths = read_lengths(info[2]);
    std::optional<HostTensor> weights = read_optional(info[3], "the weights");
    const int64_t handle = idle().add_data(std::move(x), std::move(y), std::move(lengths),
                                           std::move(weights), read_optional(info[4], "resets"));
    report_memory(env);
    return write_integer(env, handle);
  });
}

Napi::Value EngineWrap::remove_data(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const int64_t handle = read_integer(info[0], "data", 0, kMaxInteger);
    idle().remove_data(handle);
    report_memory(env);
    return env.Undefined();
  });
}

Napi::Value EngineWrap::train(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object call = read_object(info[0], "the train call");
    const int64_t data = read_integer(call.Get("data"), "data", 0, kMaxInteger);
    const int64_t batch = read_integer(call.Get("batchSize"), "batchSize", 1, kMaxInteger);
    const double rate = read_number(call.Get("rateFactor"), "rateFactor");
    const Continuing continuing = read_continuing(call);
    int64_t accumulate = 1;
    if (call.Has("accumulate")) {
      accumulate = read_integer(call.Get("accumulate"), "accumulate", 1, kMaxInteger);
    }
    const auto rows = std::make_shared<std::vector<uint32_t>>(read_rows(call.Get("rows")));
    Napi::FunctionReference on_progress;
    if (info[1].IsFunction()) on_progress = Napi::Persistent(info[1].As<Napi::Function>());
    const auto sums = std::make_shared<Sums>();
    return start_job(
        env,
        [=](Engine& engine, Job& job) {
          const TrainCall train{rows->data(), static_cast<int64_t>(rows->size()),
                                batch,        rate,
                                continuing,   accumulate};
          *sums = engine.train(data, train, [&job](const Sums& now) { job.progress(now); });
        },
        [sums](Napi::Env then) { return write_sums(then, *sums); }, std::move(on_progress));
  });
}

Napi::Value EngineWrap::evaluate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object call = read_object(info[0], "the evaluate call");
    const int64_t data = read_integer(call.Get("data"), "data", 0, kMaxInteger);
    const int64_t batch = read_integer(call.Get("batchSize"), "batchSize", 1, kMaxInteger);
    const Continuing continuing = read_continuing(call);
    const auto sums = std::make_shared<Sums>();
    return start_job(
        env, [=](Engine& engine, Job&) { *sums = engine.evaluate(data, batch, continuing); },
        [sums](Napi::Env then) { return write_sums(then, *sums); });
  });
}

Napi::Value EngineWrap::predict(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object call = read_object(info[0], "the predict call");
    const int64_t data = read_integer(call.Get("data"), "data", 0, kMaxInteger);
    const int64_t batch = read_integer(call.Get("batchSize"), "batchSize", 1, kMaxInteger);
    const std::shared_ptr<StateCall> states = read_states(call.Get("states"));
    const auto output = std::make_shared<HostTensor>();
    return start_job(
        env, [=](Engine& engine, Job&) { *output = engine.predict(data, batch, states.get()); },
        [=](Napi::Env then) { return write_outputs(then, *output, states.get()); });
  });
}

Napi::Value EngineWrap::forward(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto x = std::make_shared<HostTensor>(read_tensor(info[0], "x"));
    const std::optional<std::vector<int32_t>> lengths = read_lengths(info[1]);
    const bool training = read_flag(info[2], "training");
    const std::shared_ptr<StateCall> states = read_states(info[3]);
    const auto resets =
        std::make_shared<std::optional<HostTensor>>(read_optional(info[4], "resets"));
    const auto output = std::make_shared<HostTensor>();
    return start_job(
        env,
        [=](Engine& engine, Job&) {
          *output =
              engine.forward(std::move(*x), lengths, training, states.get(), std::move(*resets));
        },
        [=](Napi::Env then) { return write_outputs(then, *output, states.get()); });
  });
}

Napi::Value EngineWrap::backward(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto d_output =
        std::make_shared<HostTensor>(read_tensor(info[0], "the gradient of the output"));
    const std::shared_ptr<StateCall> states = read_states(info[1]);
    const auto dx = std::make_shared<HostTensor>();
    return start_job(
        env,
        [=](Engine& engine, Job&) { *dx = engine.backward(std::move(*d_output), states.get()); },
        [=](Napi::Env then) { return write_outputs(then, *dx, states.get()); });
  });
}

Napi::Value EngineWrap::step(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const double rate = read_number(info[0], "rateFactor");
    return start_job(
        env, [rate](Engine& engine, Job&) { engine.step(rate); },
        [](Napi::Env then) { return then.Undefined(); });
  });
}

Napi::Value EngineWrap::reset_states(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    idle().reset_states();
    return env.Undefined();
  });
}

Napi::Value EngineWrap::gradients(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return write_snapshot(env, idle().gradients()); });
}

Napi::Value EngineWrap::tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return write_snapshot(env, idle().tensors()); });
}

Napi::Value EngineWrap::set_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    NamedTensors tensors = read_snapshot(info[0]);
    idle().set_tensors(std::move(tensors));
    return env.Undefined();
  });
}

Napi::Value EngineWrap::counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Counters counters = idle().counters();
    const Napi::Object object = Napi::Object::New(env);
    object.Set("updates", write_integer(env, counters.updates));
    object.Set("draws", write_integer(env, counters.draws));
    return object;
  });
}

Napi::Value EngineWrap::set_counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object object = read_object(info[0], "counters");
    Counters counters;
    counters.updates = read_integer(object.Get("updates"), "updates", 0, kMaxInteger);
    counters.draws = read_integer(object.Get("draws"), "draws", 0, kMaxInteger);
    idle().set_counters(counters);
    return env.Undefined();
  });
}

Napi::Value EngineWrap::memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    alive();
    if (job_ == nullptr) report_memory(env);
    const Napi::Object object = Napi::Object::New(env);
    object.Set("params", write_integer(env, memory_.params));
    object.Set("activations", write_integer(env, memory_.activations));
    object.Set("data", write_integer(env, memory_.data));
    return object;
  });
}

Napi::Value EngineWrap::set_call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    idle();
    call_ = read_word(info[0], "the call");
    return env.Undefined();
  });
}

Napi::Value EngineWrap::cancel(const Napi::CallbackInfo& info) {
  if (job_ != nullptr) job_->cancel();
  return info.Env().Undefined();
}

Napi::Value EngineWrap::dispose(const Napi::CallbackInfo& info) {
  if (job_ != nullptr) {
    job_->cancel();
    job_->join();
  }
  engine_.reset();
  report_memory(info.Env());
  return info.Env().Undefined();
}

}  // namespace lookback
