/// Every instruction set computes what the baseline computes, up to rounding, in float and double.
#include <vector>

#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/isa.h"
#include "backend/layer_stack.h"
#include "parity/parity.h"

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
    return all;
  }

  template <class S>
  typename LayerStack<S>::MakeLayer layers_of(CpuRuntime & runtime, const DriverTable<S>& kernels,
                                              const std::string& cell) {
    return [&runtime, &kernels, cell](const Spec& spec) {
      return std::make_unique<CellRecurrence<S>>(runtime, kernels, instantiate_cell(cell, spec));
    };
  }

  template <class S>
  CellResult<S> run_with(const DriverTable<S>& kernels, const CellCase& c, const CellData& data) {
    CpuRuntime runtime(1);
    CellInstance instance = instantiate_cell(c.cell, c.spec);
    std::unique_ptr<Recurrence<S>> cell;
    if (instance.layered) {
      cell = std::make_unique<LayerStack<S>>(layers_of(runtime, kernels, c.cell), ArraySpace<S>(),
                                             c.cell, c.spec);
    } else {
      cell = std::make_unique<CellRecurrence<S>>(runtime, kernels, std::move(instance));
    }
    return run_cell(*cell, data);
  }

  CellData data_for(const CellCase& c, const DriverTable<double>& kernels) {
    CpuRuntime runtime(1);
    CellInstance instance = instantiate_cell(c.cell, c.spec);
    CellData data =
        instance.layered
            ? make_data(c, LayerStack<double>(layers_of(runtime, kernels, c.cell),
                                              ArraySpace<double>(), c.cell, c.spec))
            : make_data(c, CellRecurrence<double>(runtime, kernels, std::move(instance)));
    round_to_float(data);
    return data;
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
      const Allowance allowance(data, reference, [&](const CellData& changed_data) {
        return run_with(baseline, c, changed_data);
      });
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
