#include "bridge/errors.h"

#include <new>
#include <system_error>

#include "base/error.h"
#include "bridge/addon.h"

namespace lookback {
namespace {

Napi::Error construct(Napi::Env env, const std::string& code, const std::string& message) {
  AddonData& data = addon_data(env);
  if (data.error_class.IsEmpty()) {
    const Napi::Error plain = Napi::Error::New(env, message);
    plain.Set("code", Napi::String::New(env, code));
    return plain;
  }
  const Napi::Value made =
      data.error_class.Value().New({Napi::String::New(env, code), Napi::String::New(env, message)});
  return Napi::Error(env, made);
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return construct(env, error_code_name(error.code()), error.message());
  } catch (const Napi::Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return construct(env, "ERR_MEMORY",
                     "memory ran out; use a smaller batch, fewer steps or fewer units");
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

}  // namespace lookback
