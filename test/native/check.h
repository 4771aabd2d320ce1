/// A test program: `TEST(name) { ... CHECK...; }` in one .cc file, which this header gives a
/// `main`. A failed check prints file, line and values and lets the test go on; the program exits 1
/// when any failed.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "base/error.h"

namespace check {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

inline bool add(const char* name, void (*body)()) {
  tests().push_back({name, body});
  return true;
}

inline void fail(const char* file, int line, const std::string& message) {
  std::cerr << file << ":" << line << ": " << message << "\n";
  ++failures();
}

/// |a - b| <= bound, and neither is NaN.
inline bool near(double a, double b, double bound) { return std::abs(a - b) <= bound; }

/// Runs all tests, or those whose name contains the first argument.
inline int run(int argc, char** argv) {
  int ran = 0;
  for (const Test& test : tests()) {
    if (argc > 1 && std::string(test.name).find(argv[1]) == std::string::npos) continue;
    const int before = failures();
    try {
      test.body();
    } catch (const lookback::Error& error) {
      fail(test.name, 0,
           lookback::text("threw ", error_code_name(error.code()), ": ", error.message()));
    } catch (const std::exception& error) {
      fail(test.name, 0, lookback::text("threw ", error.what()));
    }
    std::cout << (failures() == before ? "ok   " : "FAIL ") << test.name << "\n";
    ++ran;
  }
  std::cout << ran << " tests, " << failures() << " failed checks\n";
  return failures() == 0 && ran > 0 ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                                 \
  static void test_##name();                                       \
  static const bool added_##name = check::add(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) check::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (0)

#define CHECK_EQUAL(actual, expected)                                               \
  do {                                                                              \
    const auto& check_a = (actual);                                                 \
    const auto& check_e = (expected);                                               \
    if (!(check_a == check_e))                                                      \
      check::fail(__FILE__, __LINE__,                                               \
                  lookback::text(#actual " is ", check_a, "; expected ", check_e)); \
  } while (0)

/// The last argument is the largest absolute difference allowed.
#define CHECK_NEAR(actual, expected, bound)                                                   \
  do {                                                                                        \
    const double check_a = static_cast<double>(actual);                                       \
    const double check_e = static_cast<double>(expected);                                     \
    const double check_b = static_cast<double>(bound);                                        \
    if (!check::near(check_a, check_e, check_b))                                              \
      check::fail(__FILE__, __LINE__,                                                         \
                  lookback::text(#actual " is ", check_a, "; expected ", check_e, " within ", \
                                 check_b, ", off by ", check_a - check_e));                   \
  } while (0)

/// The expression must throw an `Error` of this code whose message contains the text.
#define CHECK_THROWS(error_code, fragment, ...)                                                \
  do {                                                                                         \
    try {                                                                                      \
      __VA_ARGS__;                                                                             \
      check::fail(__FILE__, __LINE__, "did not throw: " #__VA_ARGS__);                         \
    } catch (const lookback::Error& check_error) {                                             \
      if (check_error.code() != lookback::ErrorCode::error_code ||                             \
          check_error.message().find(fragment) == std::string::npos)                           \
        check::fail(__FILE__, __LINE__,                                                        \
                    lookback::text("threw ", error_code_name(check_error.code()), ": ",        \
                                   check_error.message(), "; expected " #error_code " with '", \
                                   fragment, "'"));                                            \
    }                                                                                          \
  } while (0)

int main(int argc, char** argv) { return check::run(argc, argv); }
