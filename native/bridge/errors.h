/// The one place where native failures become JavaScript errors.
#pragma once

#include <napi.h>

#include <exception>
#include <string>

namespace lookback {

struct AddonData;

/// The JavaScript error for a native failure: an `Error` keeps its code; memory that could not be
/// had is ERR_MEMORY; anything else is ERR_INTERNAL, a bug of ours. An error that JavaScript threw
/// stays that error.
Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& failure);

/// Runs `body` for a synchronous call from JavaScript: whatever it throws arrives there as a
/// `LookbackError`.
template <class F>
auto guarded(Napi::Env env, const F& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

}  // namespace lookback
