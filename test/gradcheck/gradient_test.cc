/// Is every hand-written backward pass the derivative of its forward pass? Whole sequences run
/// through the driver on dual numbers, one tensor moving along a random direction at a time; the
/// derivative of <outputs, upstream> must be <gradient, direction>.
#include "gradcheck/dual_driver.h"
// The driver's bodies come first.
#include <cmath>
#include <set>

#include "backend/cpu/recurrence.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

/// Both sides are sums of the same products in different orders, in double: some hundred roundings
/// of 1e-16 each, which batch statistics of nearly equal rows amplify by up to 1/sqrt(1e-5) = 316 a
/// layer.
constexpr double kRelative = 1e-10;
/// Gradients that are exactly zero on paper (see the cells' headers) are noise of the others; this
/// share of the largest gradient of the case is granted to every tensor.
constexpr double kNoise = 1e-13;
constexpr int kDirections = 2;

double norm(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number * number;
  return std::sqrt(sum);
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

struct Worst {
  double ratio = 0;
  std::string where;
};

class GradientCheck {
 public:
  GradientCheck(CpuRuntime& runtime, const CellCase& c)
      : case_(c),
        cell_(make_cpu_recurrence<double>(runtime, c.cell, c.spec)),
        dual_cell_(dual_recurrence(runtime, c.cell, c.spec)),
        data_(make_data(c, *cell_)),
        dual_run_(*dual_cell_, data_) {}

  Worst run() {
    CellRun<double> run(*cell_, data_);
    run.forward(data_.inputs, data_.params);
    const Arrays<double> gradients = run.backward(data_.upstream, data_.params);
    double largest = 0;
    for (const auto& [name, gradient] : gradients) largest = std::max(largest, norm(gradient));
    CHECK(largest > 0 && std::isfinite(largest));
    Worst worst;
    for (const auto& [name, gradient] : gradients) {
      for (int i = 0; i < kDirections; ++i) {
        const std::vector<double> direction = random_direction(name, gradient.size(), i);
        if (norm(direction) == 0) continue;  // a skew-symmetric matrix of one entry goes nowhere
        const double expected = derivative(name, direction),
                     actual = dot(gradient, direction) / counted_times(name);
        const double bound = (kRelative * norm(gradient) + kNoise * largest) * norm(direction);
        const double ratio = std::abs(actual - expected) / bound;
        if (!(ratio <= 1)) {
          check::fail(case_.name.c_str(), i,
                      text("gradient of ", name, " along a direction is ", actual,
                           "; the forward pass gives ", expected, ", bound ", bound));
        }
        if (!(ratio <= worst.ratio)) worst = {ratio, text(case_.name, ", ", name)};
      }
    }
    return worst;
  }

 private:
  std::vector<double> random_direction(const std::string& name, size_t size, int i) const {
    std::vector<double> direction;
    for (size_t k = 0; k < size; ++k) {
      direction.push_back(noise(text("direction ", i, name), static_cast<int64_t>(k)));
    }
    const auto shape = data_.param_shapes.find(name);
    if (shape != data_.param_shapes.end()) keep_form(name, shape->second, direction);
    return direction;
  }

  /// d<outputs, upstream> when the tensor moves along the direction.
  double derivative(const std::string& name, const std::vector<double>& direction) {
    Arrays<Dual> inputs = convert<Dual>(data_.inputs), params = convert<Dual>(data_.params);
    std::vector<Dual>& moved = inputs.count(name) != 0 ? inputs.at(name) : params.at(name);
    for (size_t i = 0; i < moved.size(); ++i) moved[i].d = direction[i];
    const Arrays<Dual> outputs = dual_run_.forward(inputs, params);
    double sum = 0;
    for (const auto& [output, upstream] : data_.upstream) {
      for (size_t i = 0; i < upstream.size(); ++i) sum += upstream[i] * outputs.at(output)[i].d;
    }
    return sum;
  }

  const CellCase& case_;
  std::unique_ptr<Recurrence<double>> cell_;
  std::unique_ptr<Recurrence<Dual>> dual_cell_;
  CellData data_;
  CellRun<Dual> dual_run_;
};

TEST(backward_is_the_derivative_of_forward) {
  CpuRuntime runtime(1);
  Worst worst;
  const std::vector<CellCase> cases = cell_cases();
  for (const CellCase& c : cases) {
    const Worst one = GradientCheck(runtime, c).run();
    if (one.ratio > worst.ratio) worst = one;
  }
  std::cout << cases.size() << " cases; worst error " << worst.ratio
            << " of its bound: " << worst.where << "\n";
}

TEST(every_cell_has_cases) {
  std::set<int> seen;
  for (const CellCase& c : cell_cases()) seen.insert(instantiate_cell(c.cell, c.spec).index);
  for (int i = 0; i < Cells::kSize; ++i) {
    if (seen.count(i) == 0) {
      check::fail(__FILE__, __LINE__,
                  text("cell ", DriverLoops<Dual, Cells>::kLoops[i].key, ", number ", i,
                       " of the registry, has no cases in test/native/cell_cases.h"));
    }
  }
}

}  // namespace
}  // namespace lookback
