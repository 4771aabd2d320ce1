/// One mutant of a cell against what would notice it: the gradient check over the cell's cases, and
/// vectors of the cell's document, given as text by test/mutation/run.ts. Exits 1 when noticed.
/// Built by that script alone, with the mutated header before the real one in the search path.
#include "gradcheck/dual.h"
// Dual numbers come first.
#include "gradcheck/dual_driver.h"
//
#include <fstream>
#include <sstream>

#include "native/cell_run.h"
// Declarations are part of a header, too: without this they would be those of the library.
#include "backend/instantiate_cell.cc"

namespace lookback {
namespace {

/// The mutated cell on the baseline's vectors of doubles.
std::unique_ptr<Recurrence<double>> mutated(CpuRuntime& runtime, const std::string& cell,
                                            const Spec& spec) {
  return driver_recurrence<Lanes<double>>(runtime, cell, spec);
}

/// Says what noticed the mutant; true.
bool found(const std::string& where, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", where.c_str(), what.c_str());
  return true;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Whether the gradient of some tensor is not the derivative of the forward pass.
bool wrong_gradient(CpuRuntime& runtime, const CellCase& c) {
  const auto cell = mutated(runtime, c.cell, c.spec);
  const auto dual_cell = dual_recurrence(runtime, c.cell, c.spec);
  const CellData data = make_data(c, *cell);
  const CellResult<double> result = run_cell(*cell, data);
  CellRun<Dual> dual_run(*dual_cell, data);
  double largest = 0;
  for (const auto& [name, gradient] : result.gradients)
    largest = std::max(largest, std::sqrt(dot(gradient, gradient)));
  if (!(largest > 0) || !std::isfinite(largest))
    return found(c.name, text("the largest gradient is ", largest));
  for (const auto& [name, gradient] : result.gradients) {
    Arrays<Dual> inputs = convert<Dual>(data.inputs), params = convert<Dual>(data.params);
    std::vector<Dual>& moved = inputs.count(name) != 0 ? inputs.at(name) : params.at(name);
    std::vector<double> direction;
    for (size_t i = 0; i < moved.size(); ++i) {
      direction.push_back(noise("direction" + name, static_cast<int64_t>(i)));
    }
    const auto shape = data.param_shapes.find(name);
    if (shape != data.param_shapes.end()) keep_form(name, shape->second, direction);
    if (dot(direction, direction) == 0)
      continue;  // a skew-symmetric matrix of one entry goes nowhere
    for (size_t i = 0; i < moved.size(); ++i) moved[i].d = direction[i];
    const Arrays<Dual> outputs = dual_run.forward(inputs, params);
    double expected = 0;
    for (const auto& [output, upstream] : data.upstream)
      for (size_t i = 0; i < upstream.size(); ++i)
        expected += upstream[i] * outputs.at(output)[i].d;
    const double bound = (1e-9 * std::sqrt(dot(gradient, gradient)) + 1e-12 * largest) *
                         std::sqrt(dot(direction, direction));
    const double actual = dot(gradient, direction) / counted_times(name);
    if (!(std::abs(actual - expected) <= bound)) {
      return found(c.name, text("gradient of ", name, " along a direction is ", actual,
                                "; the forward pass gives ", expected, ", bound ", bound));
    }
  }
  return false;
}

/// A case of the document: lines "word name dimensions... : numbers...".
struct VectorCase {
  std::string cell, where;
  Spec spec;
  CellData data;
  Arrays<double> outputs, gradients;
};

void read_tensor(std::istringstream& line, Shape& shape, std::vector<double>& numbers) {
  int dimensions = 0;
  line >> dimensions;
  shape.resize(static_cast<size_t>(dimensions));
  for (int64_t& extent : shape) line >> extent;
  numbers.resize(static_cast<size_t>(count(shape)));
  for (double& number : numbers) line >> number;
}

std::vector<VectorCase> read_cases(const char* path) {
  std::vector<VectorCase> cases;
  std::ifstream file(path);
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string word, name;
    line >> word >> name;
    if (word == "case") {
      cases.emplace_back();
      int training = 0;
      cases.back().cell = name;
      cases.back().where = lookback::text("vector ", cases.size());
      line >> cases.back().data.batch >> cases.back().data.steps >> training;
      cases.back().data.training = training != 0;
      continue;
    }
    VectorCase& c = cases.back();
    CellData& d = c.data;
    Shape shape;
    std::string value;
    double number = 0;
    if (word == "word" && line >> value) c.spec.set(name, value);
    if (word == "number" && line >> number) c.spec.set(name, number);
    if (word == "flag" && line >> number) c.spec.set(name, number != 0);
    if (word == "input") read_tensor(line, d.input_shapes[name], d.inputs[name]);
    if (word == "weight") read_tensor(line, d.param_shapes[name], d.params[name]);
    if (word == "output") read_tensor(line, d.output_shapes[name], c.outputs[name]);
    if (word == "upstream") read_tensor(line, shape, d.upstream[name]);
    if (word == "grad") read_tensor(line, shape, c.gradients[name]);
    if (word == "lengths") {
      d.lengths.resize(static_cast<size_t>(d.batch));
      for (int32_t& length : d.lengths) line >> length;
    }
  }
  return cases;
}

double largest(const std::vector<double>& numbers) {
  double most = 0;
  for (const double number : numbers) most = std::max(most, std::abs(number));
  return most;
}

/// Whether some tensor is off. Gradients are measured against the largest of the case.
bool apart(const std::string& where, const Arrays<double>& expected, const Arrays<double>& actual,
           double scale) {
  for (const auto& [name, numbers] : expected) {
    const auto it = actual.find(name);
    if (it == actual.end()) continue;
    const double bound = 1e-8 * std::max(scale, largest(numbers));
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (std::abs(it->second[i] - numbers[i]) <= bound) continue;
      return found(where, text(name, "[", i, "] is ", it->second[i], "; expected ", numbers[i]));
    }
  }
  return false;
}

bool wrong_numbers(CpuRuntime& runtime, VectorCase& c) {
  const auto cell = mutated(runtime, c.cell, c.spec);
  for (const ParamInfo& p : cell->info().params) {
    // A trained initial state stands among the document's inputs: the gradient check has to do.
    if (c.data.params.count(p.name) == 0) return false;
    c.data.param_order.push_back(p.name);
    if (p.fixed) c.data.fixed.insert(p.name);
  }
  std::map<std::string, Shape> known;
  for (const TensorInfo& out : cell->outputs(c.data.batch, c.data.steps))
    if (c.outputs.count(out.name) != 0) known[out.name] = out.shape;
  c.data.output_shapes = known;
  const CellResult<double> result = run_cell(*cell, c.data);
  double scale = 0;
  for (const auto& [name, numbers] : c.gradients) scale = std::max(scale, largest(numbers));
  return apart(c.where, c.outputs, result.outputs, 1) ||
         apart(c.where, c.gradients, result.gradients, scale);
}

int run(const std::string& key, const char* vectors) {
  CpuRuntime runtime(1);
  std::vector<VectorCase> documents = read_cases(vectors);
  for (VectorCase& c : documents)
    if (wrong_numbers(runtime, c)) return 1;
  for (const CellCase& c : cell_cases())
    if (c.cell == key && wrong_gradient(runtime, c)) return 1;
  return 0;
}

}  // namespace
}  // namespace lookback

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    return lookback::run(argv[1], argv[2]);
  } catch (const lookback::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 1;
}
