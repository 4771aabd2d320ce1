/// What one loaded instance of the addon holds; every environment (main thread, worker thread) has
/// its own.
#pragma once

#include <napi.h>

#include <memory>

#include "bridge/worker.h"
#include "model/cell_call.h"
#include "model/engine.h"

namespace lookback {

struct AddonData {
  Napi::FunctionReference error_class;
  Napi::FunctionReference engine_class, cell_class, tape_class;
  /// What the constructor that runs next wraps. Constructors take it from here, so that JavaScript,
  /// which can reach them through `constructor`, cannot make an object around nothing.
  std::unique_ptr<Engine> new_engine;
  std::shared_ptr<const CellRunner> new_cell;
  std::unique_ptr<CallTape> new_tape;
  std::shared_ptr<JobList> jobs = std::make_shared<JobList>();
};

AddonData& addon_data(Napi::Env env);

/// Of the test build: what only its tests may ask for (test/support/refusing_addon.cc).
void export_test_hooks(Napi::Env env, Napi::Object exports);

}  // namespace lookback
