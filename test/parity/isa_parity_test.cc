/// Every instruction set, and the kernel body of the GPU on host threads where it is built,
/// computes what the baseline computes, up to rounding, in float and double.
///
/// The bound follows from backward stability: a floating-point dot product of length K is the exact
/// one of numbers changed by at most K epsilon each (Higham, "Accuracy and Stability of Numerical
/// Algorithms", section 3.1), and other operations are exact for numbers changed by a few. What
/// such changes do to each result is measured: weights, inputs and upstream gradients change at
/// random by some epsilons of double, and the largest change that this makes to a tensor, in
/// epsilons, is its response. With every number changed every operation rounds anew, so the
/// response also has what cancellation leaves of rounding (batch statistics of nearly equal rows
/// amplify it 1e5 times).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/layer_stack.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {

#define LOOKBACK_DECLARE_KERNELS(isa)          \
  namespace isa {                              \
  const DriverTable<float>& float_kernels();   \
  const DriverTable<double>& double_kernels(); \
  }
#if defined(__x86_64__)
LOOKBACK_DECLARE_KERNELS(avx2)
LOOKBACK_DECLARE_KERNELS(avx512)
#endif
inline LOOKBACK_DECLARE_KERNELS(generic)
#undef LOOKBACK_DECLARE_KERNELS

    namespace {

#if defined(__SANITIZE_THREAD__)
  constexpr size_t kEvery = 16;  ///< of the cases: blocks on instrumented threads are slow
#else
  constexpr size_t kEvery = 1;
#endif
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  constexpr double kChange = 4 * kEpsilon;
  /// How many responses are granted. K is at most 22 in these cases, a row passes some tens of
  /// roundings a step outside of products, and four random samples see a part of the worst case.
  constexpr double kResponses = 16;

  struct Tables {
    std::string name;
    const DriverTable<float>* floats;
    const DriverTable<double>* doubles;
  };

  std::vector<Tables> tables_of_this_processor() {
    std::vector<Tables> all = {{"generic", &generic::float_kernels(), &generic::double_kernels()}};
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 =
        has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (has_avx2) all.push_back({"avx2", &avx2::float_kernels(), &avx2::double_kernels()});
    if (has_avx512) all.push_back({"avx512", &avx512::float_kernels(), &avx512::double_kernels()});
    if (!has_avx2) std::cout << "     without avx2, which this processor lacks\n";
    if (!has_avx512) std::cout << "     without avx512, which this processor lacks\n";
#endif
#if defined(LOOKBACK_EMULATED)
    all.push_back({"emulated", &emulated_kernels<float>(), &emulated_kernels<double>()});
#endif
    return all;
  }

  template <class S>
  CellResult<S> run_with(const DriverTable<S>& kernels, const CellCase& c, const CellData& data) {
    CpuRuntime runtime(1);
    CellInstance instance = instantiate_cell(c.cell, c.spec);
    std::unique_ptr<Recurrence<S>> cell;
    if (instance.layered) {
      cell = std::make_unique<LayerStack<S>>(runtime, kernels, c.cell, c.spec);
    } else {
      cell = std::make_unique<CellRecurrence<S>>(runtime, kernels, std::move(instance));
    }
    return run_cell(*cell, data);
  }

  /// Numbers that float holds too, so that both types begin with the same.
  void round_to_float(Arrays<double> & arrays) {
    for (auto& [name, numbers] : arrays) {
      for (double& number : numbers) number = static_cast<double>(static_cast<float>(number));
    }
  }

  CellData data_for(const CellCase& c, const DriverTable<double>& kernels) {
    CpuRuntime runtime(1);
    CellInstance instance = instantiate_cell(c.cell, c.spec);
    CellData data =
        instance.layered
            ? make_data(c, LayerStack<double>(runtime, kernels, c.cell, c.spec))
            : make_data(c, CellRecurrence<double>(runtime, kernels, std::move(instance)));
    round_to_float(data.inputs);
    round_to_float(data.params);
    round_to_float(data.upstream);
    return data;
  }

  /// All numbers times 1 + kChange u, except masks and signs, which are exact.
  CellData changed(CellData data, int sample) {
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

  double largest(const std::vector<double>& numbers) {
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
    Allowance(const CellCase& c, const CellData& data, const DriverTable<double>& kernels,
              const CellResult<double>& reference) {
      double gradient = 0;
      for (const auto& [name, numbers] : reference.gradients) {
        gradient = std::max(gradient, largest(numbers));
      }
      for (int sample = 0; sample < 4; ++sample) {
        const CellResult<double> other = run_with(kernels, c, changed(data, sample));
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

  TEST(instruction_sets_agree) {
    const std::vector<Tables> tables = tables_of_this_processor();
    Worst floats, doubles;
    const std::vector<CellCase> cases = cell_cases();
    for (size_t i = 0; i < cases.size(); i += kEvery) {
      const CellCase& c = cases[i];
      const DriverTable<double>& baseline = generic::double_kernels();
      const CellData data = data_for(c, baseline);
      const CellResult<double> reference = run_with(baseline, c, data);
      const Allowance allowance(c, data, baseline, reference);
      for (const Tables& t : tables) {
        compare(c, t.name, allowance, reference, run_with(*t.floats, c, data), floats);
        compare(c, t.name, allowance, reference, run_with(*t.doubles, c, data), doubles);
      }
    }
    std::cout << "     float: worst " << floats.ratio << " of its bound: " << floats.where << "\n"
              << "     double: worst " << doubles.ratio << " of its bound: " << doubles.where
              << "\n";
  }

}  // namespace
}  // namespace lookback
