/// A plain typed description (options of a cell, a layer, an optimizer), as it arrives from
/// TypeScript.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace lookback {

/// An ordered-by-name set of scalar options. TypeScript has validated names, types and ranges with
/// messages for people; the getters here guard the native code's own invariants (ERR_OPTION).
class Spec {
 public:
  using Value = std::variant<bool, double, std::string>;

  void set(const std::string& key, Value value) { values_[key] = std::move(value); }
  bool has(const std::string& key) const { return values_.count(key) != 0; }
  const std::map<std::string, Value>& values() const { return values_; }

  /// Each returns `fallback` where the key is absent, and throws ERR_OPTION where its type is
  /// another one.
  bool flag(const std::string& key, bool fallback) const;
  double number(const std::string& key, double fallback) const;
  std::string word(const std::string& key, const std::string& fallback) const;
  /// A whole number within [low, high]; ERR_OPTION otherwise.
  int integer(const std::string& key, int fallback, int low, int high) const;
  /// The index of the word in `choices` (the first is the default); ERR_OPTION lists the choices.
  int choice(const std::string& key, const std::vector<std::string>& choices) const;

 private:
  std::map<std::string, Value> values_;
};

}  // namespace lookback
