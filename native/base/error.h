/// The one exception of the native code, and the checks that throw it.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>

namespace lookback {

/// The closed set of failure kinds; the names are the `code` of the JavaScript `LookbackError`.
enum class ErrorCode {
  kOption,
  kShape,
  kState,
  kDevice,
  kMemory,
  kNumeric,
  kFormat,
  kInternal,
  kAborted,
  kIo,
  kData,
};

/// "ERR_OPTION", "ERR_SHAPE", ...
const char* error_code_name(ErrorCode code);

/// Thrown by native code; becomes a `LookbackError` in one place of the bridge.
/// The message says what was wrong, the value seen, what was expected and what to do.
class Error {
 public:
  Error(ErrorCode code, std::string message);
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  ErrorCode code_;
  std::string message_;
};

/// Joins its arguments into one string.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

[[noreturn]] void fail(ErrorCode code, std::string message);

/// a * b in 64 bits; throws ERR_MEMORY that names `what` where it overflows or an operand is
/// negative.
int64_t checked_mul(int64_t a, int64_t b, const char* what);
/// a + b in 64 bits, likewise.
int64_t checked_add(int64_t a, int64_t b, const char* what);

}  // namespace lookback

/// Throws `Error(code, text(...))` unless `cond` holds.
#define REQUIRE(cond, code, ...)                                                               \
  do {                                                                                         \
    if (!(cond)) ::lookback::fail(::lookback::ErrorCode::code, ::lookback::text(__VA_ARGS__)); \
  } while (0)
