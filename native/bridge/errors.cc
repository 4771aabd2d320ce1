#include "bridge/errors.h"

#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "bridge/addon.h"

namespace lookback {
namespace {

constexpr char kMemoryRanOut[] = "memory ran out; use a smaller batch, fewer steps or fewer units";

/// Asks for no memory of ours, so that it also works where there is none. `message` ends with a 0.
Napi::Error construct(Napi::Env env, const char* code, std::string_view message) {
  AddonData& data = addon_data(env);
  if (data.error_class.IsEmpty()) {
    const Napi::Error plain = Napi::Error::New(env, message.data());
    plain.Set("code", Napi::String::New(env, code));
    return plain;
  }
  const Napi::Value made = data.error_class.Value().New(
      {Napi::String::New(env, code), Napi::String::New(env, message.data(), message.size())});
  return Napi::Error(env, made);
}

Napi::Error describe(Napi::Env env, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return construct(env, error_code_name(error.code()), error.message());
  } catch (const Napi::Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return construct(env, "ERR_MEMORY", kMemoryRanOut);
  } catch (const std::length_error&) {
    return construct(
        env, "ERR_MEMORY",
        "a size is larger than any memory; use a smaller batch, fewer steps or fewer units");
  } catch (const std::system_error& error) {
    return construct(env, "ERR_MEMORY",
                     text("the system refused a thread: ", error.what(), "; use fewer threads"));
  } catch (const std::exception& error) {
    return construct(env, "ERR_INTERNAL",
                     text("unexpected failure: ", error.what(), "; please report this"));
  } catch (...) {
    return construct(env, "ERR_INTERNAL", "unexpected failure of unknown kind; please report this");
  }
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& failure) {
  try {
    return describe(env, failure);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception&) {
    // Not even the words could be put together.
    return construct(env, "ERR_MEMORY", kMemoryRanOut);
  }
}

}  // namespace lookback
