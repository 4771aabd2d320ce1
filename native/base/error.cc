#include "base/error.h"

#include <sstream>

namespace lookback {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOption:
      return "ERR_OPTION";
    case ErrorCode::kShape:
      return "ERR_SHAPE";
    case ErrorCode::kState:
      return "ERR_STATE";
    case ErrorCode::kDevice:
      return "ERR_DEVICE";
    case ErrorCode::kMemory:
      return "ERR_MEMORY";
    case ErrorCode::kNumeric:
      return "ERR_NUMERIC";
    case ErrorCode::kFormat:
      return "ERR_FORMAT";
    case ErrorCode::kInternal:
      return "ERR_INTERNAL";
    case ErrorCode::kAborted:
      return "ERR_ABORTED";
    case ErrorCode::kIo:
      return "ERR_IO";
    case ErrorCode::kData:
      return "ERR_DATA";
  }
  return "ERR_INTERNAL";
}

Error::Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

std::string join(std::initializer_list<TextPart> parts) {
  std::ostringstream out;
  for (const TextPart& part : parts) {
    switch (part.kind_) {
      case TextPart::Kind::kText:
        out << part.text_;
        break;
      case TextPart::Kind::kLetter:
        out << static_cast<char>(part.integer_);
        break;
      case TextPart::Kind::kReal:
        out << part.real_;
        break;
      case TextPart::Kind::kInteger:
        out << part.integer_;
        break;
      case TextPart::Kind::kUnsigned:
        out << static_cast<uint64_t>(part.integer_);
        break;
    }
  }
  return out.str();
}

void fail(ErrorCode code, std::string message) { throw Error(code, std::move(message)); }

int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t product = 0;
  const bool overflow = __builtin_mul_overflow(a, b, &product);
  REQUIRE(!overflow && a >= 0 && b >= 0, kMemory, what, ": the size ", a, " x ", b,
          " does not fit in 64 bits; use smaller dimensions");
  return product;
}

int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t sum = 0;
  const bool overflow = __builtin_add_overflow(a, b, &sum);
  REQUIRE(!overflow && a >= 0 && b >= 0, kMemory, what, ": the size ", a, " + ", b,
          " does not fit in 64 bits; use smaller dimensions");
  return sum;
}

}  // namespace lookback
