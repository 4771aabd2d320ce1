/// Distances in units in the last place, and the worst of many.
#pragma once

#include <cmath>
#include <iostream>
#include <limits>
#include <string>

#include "native/check.h"

namespace lookback {

/// |actual - exact| in units of the spacing of T at `exact` (of normal numbers at least: below them
/// the CPU flushes). Infinite where only one of them is NaN or they are unequal infinities.
template <class T>
double ulps(T actual, long double exact) {
  if (std::isnan(actual) || std::isnan(exact)) {
    return std::isnan(actual) && std::isnan(exact) ? 0 : std::numeric_limits<double>::infinity();
  }
  if (static_cast<long double>(actual) == exact) return 0;
  if (std::isinf(actual) || std::isinf(exact)) return std::numeric_limits<double>::infinity();
  const int lowest = std::numeric_limits<T>::min_exponent - 1;
  const int exponent = exact == 0 ? lowest : std::max(std::ilogb(exact), lowest);
  const long double spacing = std::ldexp(1.0L, exponent - (std::numeric_limits<T>::digits - 1));
  return static_cast<double>(std::abs(static_cast<long double>(actual) - exact) / spacing);
}

/// Collects errors against one bound; `report` prints the worst and fails where it is beyond.
class WorstError {
 public:
  WorstError(std::string name, double bound) : name_(std::move(name)), bound_(bound) {}
  void add(double error, double at) {
    if (count_ == 0 || !(error <= worst_)) {
      worst_ = error;
      at_ = at;
    }
    ++count_;
  }
  void report(const char* file, int line) const {
    std::cout << "     " << name_ << ": worst " << worst_ << " at " << at_ << " of " << count_
              << ", bound " << bound_ << "\n";
    if (count_ == 0 || !(worst_ <= bound_)) {
      check::fail(file, line, text(name_, " is off by ", worst_, " at ", at_, ", bound ", bound_));
    }
  }

 private:
  std::string name_;
  double bound_, worst_ = 0, at_ = 0;
  int64_t count_ = 0;
};

}  // namespace lookback
