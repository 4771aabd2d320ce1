/// The matrices that cells make from parameters on a CUDA device, at sizes beyond one block of a
/// factorisation, beside those of the CPU, which makes them another way.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "native/cell_run.h"
#include "native/check.h"
#include "native/device_cell.h"

namespace lookback {
namespace {

CellCase case_of(const char* cell, double units, const Options& options = {}) {
  CellCase c{cell, cell, spec_of({{"inputSize", 2.0}})};
  if (std::string(cell) == "enrnn") {
    c.spec.set("longUnits", units);
    c.spec.set("shortUnits", 5.0);
  } else {
    c.spec.set("units", units);
  }
  for (const auto& [key, value] : options) c.spec.set(key, value);
  c.batch = 2;
  c.steps = 2;
  return c;
}

CellData data_of(const CellCase& c) {
  const auto cpu = make_backend<double>(DeviceKind::kCpu, 1);
  return make_data(c, *cpu->recurrence(c.cell, c.spec));
}

/// A cell of a device behind arrays of the host.
template <class S>
class Cell {
 public:
  Cell(DeviceKind kind, const CellCase& c)
      : backend_(make_backend<S>(kind, 2)),
        cell_(backend_->memory(), backend_->recurrence(c.cell, c.spec)) {}
  CellResult<S> run(const CellData& data) { return run_cell<S>(cell_, data); }

 private:
  std::unique_ptr<Backend<S>> backend_;
  DeviceCell<S> cell_;
};

template <class S>
CellResult<S> run_on(DeviceKind kind, const CellCase& c, const CellData& data) {
  return Cell<S>(kind, c).run(data);
}

const char* const kAngles[] = {"A", "A_packed", "P", "A_re", "A_im"};

/// The same with angles `factor` times as large.
CellData scaled(CellData data, double factor) {
  for (const char* name : kAngles) {
    const auto found = data.params.find(name);
    if (found == data.params.end()) continue;
    for (double& entry : found->second) entry *= factor;
  }
  return data;
}

/// Their numbers are those of the CPU's kernels, whatever the number of threads.
TEST(what_the_host_makes_has_the_bits_of_the_cpu) {
  const CellCase c = case_of("scornn", 70);
  const CellData data = scaled(data_of(c), 1e3);
  const CellResult<double> on_cpu = run_on<double>(DeviceKind::kCpu, c, data);
  const CellResult<double> on_device = run_on<double>(DeviceKind::kEmulated, c, data);
  CHECK(on_cpu.outputs.at("W") == on_device.outputs.at("W"));
}

template <class S>
double farthest(const std::vector<S>& a, const std::vector<S>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(off <= most)) most = off;
  }
  return most;
}

double largest(const std::vector<double>& numbers) {
  return farthest(numbers, std::vector<double>(numbers.size(), 0));
}

struct DeviceCase {
  const char* cell;
  Options options;
  const char* matrix;
};

const std::vector<DeviceCase>& device_cases() {
  static const std::vector<DeviceCase> cases = {
      {"scornn", {}, "W"},
      {"scornn", {{"storage", word("packed")}}, "W"},
      {"enrnn", {}, "W_L"},
      {"scurnn", {}, "W_re"},
      {"scurnn", {{"gradientScaling", word("free")}}, "W_re"},
      {"exprnn", {}, "W"},
      {"exprnn", {{"map", word("cayley")}}, "W"},
      {"exprnn", {{"mode", word("dynamic")}}, "W"},
  };
  return cases;
}

/// Entries in [-factor, factor), so 2-norms up to some 9 times that: next to nothing, moderate, and
/// near the largest that the device takes. What the condition of I + A and squarings make of
/// rounding grows with their square.
TEST(matrices_and_gradients_are_those_of_the_cpu) {
  for (const DeviceCase& d : device_cases()) {
    const CellCase c = case_of(d.cell, 23, d.options);
    for (const double factor : {0.0, 1e-3, 0.3, 4.0}) {
      const CellData data = scaled(data_of(c), factor);
      const CellResult<double> expected = run_on<double>(DeviceKind::kCpu, c, data);
      const CellResult<double> made = run_on<double>(DeviceKind::kEmulated, c, data);
      const double bound = 1e-13 * (1 + factor * factor * 81);
      for (const auto& [name, numbers] : expected.outputs) {
        const double off = farthest(made.outputs.at(name), numbers);
        if (!(off <= bound * std::max(1.0, largest(numbers))))
          check::fail(d.cell, static_cast<int>(factor), text(name, " is off by ", off));
      }
      for (const auto& [name, numbers] : expected.gradients) {
        const double off = farthest(made.gradients.at(name), numbers);
        if (!(off <= bound * std::max(1.0, largest(numbers))))
          check::fail(d.cell, static_cast<int>(factor), text("d ", name, " is off by ", off));
      }
      // Rounding tells that it was not the host that made them.
      if (factor > 0) CHECK(made.outputs.at(d.matrix) != expected.outputs.at(d.matrix));
    }
  }
}

TEST(float32_is_rounded_once) {
  for (const DeviceCase& d : device_cases()) {
    const CellCase c = case_of(d.cell, 9, d.options);
    CellData data = scaled(data_of(c), 0.3);
    for (auto& [name, numbers] : data.params)
      for (double& number : numbers) number = static_cast<double>(static_cast<float>(number));
    const std::vector<double> exact =
        run_on<double>(DeviceKind::kCpu, c, data).outputs.at(d.matrix);
    const std::vector<float> made =
        run_on<float>(DeviceKind::kEmulated, c, data).outputs.at(d.matrix);
    for (size_t i = 0; i < exact.size(); ++i)
      CHECK_NEAR(static_cast<double>(made[i]), exact[i], 6.1e-8 * std::abs(exact[i]) + 1e-12);
  }
}

/// A resumed run, or one that has looked at other parameters in between, has the same bits.
TEST(matrices_depend_on_nothing_before_them) {
  for (const DeviceCase& d : device_cases()) {
    const CellCase c = case_of(d.cell, 11, d.options);
    const CellData data = scaled(data_of(c), 0.5);
    Cell<double> cell(DeviceKind::kEmulated, c);
    const CellResult<double> first = cell.run(data);
    cell.run(scaled(data, 1.01));
    cell.run(scaled(data, 1e4));
    const CellResult<double> again = cell.run(data);
    CHECK(first.outputs == again.outputs);
    CHECK(first.gradients == again.gradients);
  }
}

/// Angles that are known: planes that turn, beyond those that squarings are needed for.
TEST(planes_turn_by_their_angles) {
  const int n = 12;
  const CellCase c = case_of("exprnn", n);
  CellData data = data_of(c);
  std::vector<double>&P = data.params.at("P"), &base = data.params.at("base");
  std::fill(P.begin(), P.end(), 0.0);
  for (size_t i = 0; i < base.size(); ++i) base[i] = i % (n + 1) == 0 ? 1 : 0;
  const auto angle = [](size_t plane) { return 0.1 + 7.7 * static_cast<double>(plane); };
  for (size_t plane = 0; plane < n / 2; ++plane) P[2 * plane * (n + 1) + 1] = angle(plane);
  const std::vector<double> W = run_on<double>(DeviceKind::kEmulated, c, data).outputs.at("W");
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const double sine = (i % 2 == 0 ? 1 : -1) * std::sin(angle(i / 2));
      const double expected = i == j ? std::cos(angle(i / 2)) : i / 2 == j / 2 ? sine : 0;
      CHECK_NEAR(W[i * n + j], expected, 2e-13);
    }
  }
}

TEST(what_is_no_such_matrix_is_said_as_on_the_cpu) {
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  struct Wrong {
    const char* cell;
    const char* param;
    size_t place;
    double number;
    ErrorCode code;
    const char* message;
  };
  const std::vector<Wrong> cases = {
      {"scornn", "A", 2, 7, ErrorCode::kData, "scornn: A is not skew-symmetric"},
      {"scornn", "A", 0, 7, ErrorCode::kData, "scornn: A is not skew-symmetric"},
      {"scornn", "d", 1, 0.5, ErrorCode::kData, "d holds 0.5 at position 1"},
      {"scornn", "A", 2, nothing, ErrorCode::kNumeric, "parameter A holds nan at position 2"},
      {"enrnn", "d", 1, 0.5, ErrorCode::kData, "d holds 0.5 at position 1"},
      {"enrnn", "T", 1, nothing, ErrorCode::kNumeric, "parameter T holds nan at position 1"},
      {"scurnn", "A_re", 2, 7, ErrorCode::kData, "A_re is not skew-symmetric"},
      {"scurnn", "A_im", 2, 7, ErrorCode::kData, "A_im is not symmetric"},
      {"scurnn", "theta", 1, nothing, ErrorCode::kNumeric, "parameter theta holds nan"},
      {"exprnn", "base", 4, nothing, ErrorCode::kNumeric, "parameter base holds nan"},
      {"exprnn", "base", 4, 3, ErrorCode::kNumeric, "The base is not orthogonal"},
      {"exprnn", "P", 1, 1e200, ErrorCode::kNumeric, "A has grown too large"},
  };
  for (const Wrong& wrong : cases) {
    const CellCase c = case_of(wrong.cell, 5);
    CellData data = data_of(c);
    Cell<double> cell(DeviceKind::kEmulated, c);
    const CellResult<double> before = cell.run(data);
    CellData changed = data;
    changed.params.at(wrong.param)[wrong.place] = wrong.number;
    bool thrown = false;
    try {
      cell.run(changed);
    } catch (const Error& error) {
      thrown = true;
      CHECK(error.code() == wrong.code);
      if (error.message().find(wrong.message) == std::string::npos)
        check::fail(wrong.cell, static_cast<int>(wrong.place), error.message());
    }
    CHECK(thrown);
    CHECK(before.outputs == cell.run(data).outputs);
  }
}

/// Skew-symmetric up to the rounding of a file: the host takes the nearest one.
TEST(what_a_file_has_rounded_is_taken_as_on_the_cpu) {
  const CellCase c = case_of("scornn", 5);
  CellData data = data_of(c);
  data.params.at("A")[1] *= 1 + 1e-7;
  const CellResult<double> on_cpu = run_on<double>(DeviceKind::kCpu, c, data);
  const CellResult<double> on_device = run_on<double>(DeviceKind::kEmulated, c, data);
  CHECK(on_cpu.outputs.at("W") == on_device.outputs.at("W"));
}

TEST(what_is_frozen_gets_no_gradient) {
  for (const DeviceCase& d : device_cases()) {
    const CellCase c = case_of(d.cell, 5, d.options);
    CellData data = data_of(c);
    const CellResult<double> all = run_on<double>(DeviceKind::kEmulated, c, data);
    for (const char* name : {"A", "A_packed", "P", "A_re", "A_im", "theta", "T"}) {
      if (data.params.count(name) == 0) continue;
      CellData frozen = data;
      frozen.fixed.insert(name);
      const CellResult<double> others = run_on<double>(DeviceKind::kEmulated, c, frozen);
      for (const auto& [other, numbers] : others.gradients)
        CHECK(numbers == all.gradients.at(other));
    }
  }
}

}  // namespace
}  // namespace lookback
