/// How far apart two computations of one call of a cell may be: what rounding explains, and no
/// more.
///
/// The bound follows from backward stability: a floating-point dot product of length K is the exact
/// one of numbers changed by at most K epsilon each (Higham, "Accuracy and Stability of Numerical
/// Algorithms", section 3.1), and other operations are exact for numbers changed by a few. What
/// such changes do to each result is measured: weights, inputs and upstream gradients change at
/// random by some epsilons of double, and the largest change that this makes to a tensor, in
/// epsilons, is its response. With every number changed every operation rounds anew, so the
/// response also has what cancellation leaves of rounding (batch statistics of nearly equal rows
/// amplify it 1e5 times).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {

#if defined(__SANITIZE_THREAD__)
constexpr size_t kEvery = 4;  ///< of the cases: instrumented code is slow
#else
constexpr size_t kEvery = 1;
#endif
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kChange = 4 * kEpsilon;
/// How many responses are granted. K is at most 22 in these cases, a row passes some tens of
/// roundings a step outside of products, and four random samples see a part of the worst case.
constexpr double kResponses = 16;

/// Numbers that float holds too, so that both types begin with the same.
inline void round_to_float(Arrays<double>& arrays) {
  for (auto& [name, numbers] : arrays) {
    for (double& number : numbers) number = static_cast<double>(static_cast<float>(number));
  }
}

inline void round_to_float(CellData& data) {
  round_to_float(data.inputs);
  round_to_float(data.params);
  round_to_float(data.upstream);
}

/// All numbers times 1 + kChange u, except masks and signs, which are exact.
inline CellData changed(CellData data, int sample) {
  const auto change = [&](Arrays<double>& arrays) {
    for (auto& [name, numbers] : arrays) {
      if (starts_with(name, "mask") || data.fixed.count(name) != 0) continue;
      for (size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] *= 1 + kChange * noise(text("change ", sample, name), static_cast<int64_t>(i));
      }
    }
  };
  change(data.inputs);
  change(data.params);
  change(data.upstream);
  return data;
}

inline double largest(const std::vector<double>& numbers) {
  double most = 0;
  for (const double number : numbers) most = std::max(most, std::abs(number));
  return most;
}

template <class A, class B>
double apart(const std::vector<A>& a, const std::vector<B>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= most)) most = difference;
  }
  return most;
}

/// What each tensor may be off by, in units of epsilon: its responses, and the roundings of the
/// result itself; of gradients, which may be zero on paper, those of the largest one of the case.
class Allowance {
 public:
  /// `run` gives the reference's result for data.
  template <class Run>
  Allowance(const CellData& data, const CellResult<double>& reference, const Run& run) {
    double gradient = 0;
    for (const auto& [name, numbers] : reference.gradients) {
      gradient = std::max(gradient, largest(numbers));
    }
    for (int sample = 0; sample < 4; ++sample) {
      const CellResult<double> other = run(changed(data, sample));
      for (const auto& [name, numbers] : reference.outputs) {
        allow(name, numbers, other.outputs.at(name), largest(numbers));
      }
      for (const auto& [name, numbers] : reference.gradients) {
        const bool zero = largest(numbers) < 1e-9 * gradient;
        allow("d " + name, numbers, other.gradients.at(name), gradient * (zero ? 316 : 1));
      }
    }
  }
  double of(const std::string& name) const { return allowed_.at(name); }

 private:
  void allow(const std::string& name, const std::vector<double>& reference,
             const std::vector<double>& other, double own) {
    double& allowed = allowed_[name];
    allowed = std::max(allowed, kResponses * (apart(reference, other) / kEpsilon + own));
  }
  std::map<std::string, double> allowed_;
};

struct Worst {
  double ratio = 0;
  std::string where;
};

template <class S>
void compare(const CellCase& c, const std::string& isa, const Allowance& allowance,
             const CellResult<double>& reference, const CellResult<S>& result, Worst& worst) {
  const auto check = [&](const std::string& prefix, const Arrays<double>& expected,
                         const Arrays<S>& actual) {
    for (const auto& [name, numbers] : expected) {
      const double bound =
          allowance.of(prefix + name) * static_cast<double>(std::numeric_limits<S>::epsilon());
      const double off = apart(actual.at(name), numbers);
      const std::string where = text(c.name, ", ", prefix, name, ", ", isa);
      if (!(off <= bound)) {
        check::fail(where.c_str(), static_cast<int>(sizeof(S)),
                    text("off by ", off, ", bound ", bound));
      }
      if (bound > 0 && off / bound > worst.ratio) worst = {off / bound, where};
    }
  };
  check("", reference.outputs, result.outputs);
  check("d ", reference.gradients, result.gradients);
}

}  // namespace lookback
