/// The test addon's memory: as test/native/failing_memory.h, with the switch in JavaScript's hands.
#include "bridge/addon.h"
#include "native/failing_memory.h"

namespace lookback {
namespace {

/// refuseRequests(first, count): refuses them until the next call; gives how many there were since
/// the last one. 0: none.
Napi::Value refuse_requests(const Napi::CallbackInfo& info) {
  const int64_t seen = failing::requests;
  const int64_t from = info[0].As<Napi::Number>().Int64Value();
  failing::first = failing::kNever;
  failing::length = info[1].As<Napi::Number>().Int64Value();
  failing::requests = 0;
  failing::first = from > 0 ? from : failing::kNever;
  return Napi::Number::New(info.Env(), static_cast<double>(seen));
}

}  // namespace

void export_test_hooks(Napi::Env env, Napi::Object exports) {
  exports.Set("refuseRequests", Napi::Function::New<refuse_requests>(env, "refuseRequests"));
}

}  // namespace lookback
