/// The one exception of the native code, and the checks that throw it.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
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

/// One part of a message: text, or a number as an output stream shows it. Streams are kept out of
/// the sources that make messages, each of which would compile them again.
class TextPart {
 public:
  TextPart(std::string_view text) : kind_(Kind::kText), text_(text) {}
  TextPart(const std::string& text) : TextPart(std::string_view(text)) {}
  TextPart(const char* text) : TextPart(std::string_view(text)) {}
  TextPart(char letter) : kind_(Kind::kLetter), integer_(letter) {}
  TextPart(double number) : kind_(Kind::kReal), real_(number) {}
  template <std::signed_integral T>
  TextPart(T number) : kind_(Kind::kInteger), integer_(number) {}
  template <std::unsigned_integral T>
  TextPart(T number) : kind_(Kind::kUnsigned), integer_(static_cast<int64_t>(number)) {}

 private:
  friend std::string join(std::initializer_list<TextPart> parts);
  enum class Kind { kText, kLetter, kReal, kInteger, kUnsigned };
  Kind kind_;
  std::string_view text_;
  int64_t integer_ = 0;
  double real_ = 0;
};

std::string join(std::initializer_list<TextPart> parts);

/// Joins its arguments into one string.
template <class... Parts>
std::string text(const Parts&... parts) {
  return join({TextPart(parts)...});
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
