#include "base/spec.h"

#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

template <class T>
const T* find(const std::map<std::string, Spec::Value>& values, const std::string& key,
              const char* expected) {
  const auto it = values.find(key);
  if (it == values.end()) return nullptr;
  const T* value = std::get_if<T>(&it->second);
  REQUIRE(value != nullptr, kOption, "option ", key, " has another type than ", expected);
  return value;
}

}  // namespace

bool Spec::flag(const std::string& key, bool fallback) const {
  const bool* value = find<bool>(values_, key, "boolean");
  return value ? *value : fallback;
}

double Spec::number(const std::string& key, double fallback) const {
  const double* value = find<double>(values_, key, "number");
  return value ? *value : fallback;
}

std::string Spec::word(const std::string& key, const std::string& fallback) const {
  const std::string* value = find<std::string>(values_, key, "string");
  return value ? *value : fallback;
}

int Spec::integer(const std::string& key, int fallback, int low, int high) const {
  const double value = number(key, fallback);
  REQUIRE(value >= low && value <= high && std::floor(value) == value, kOption, "option ", key,
          " is ", value, "; expected a whole number in ", low, "..", high);
  return static_cast<int>(value);
}

int Spec::choice(const std::string& key, const std::vector<std::string>& choices) const {
  const std::string value = word(key, choices.front());
  std::string list;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (value == choices[i]) return static_cast<int>(i);
    list += (i ? ", " : "") + choices[i];
  }
  fail(ErrorCode::kOption, text("option ", key, " is '", value, "'; expected one of ", list));
}

}  // namespace lookback
