/// The driver's promises to cells (cells/cell.h), with toy cells whose results are known: rings and
/// queues, lengths, masks, initial and final states, reductions over the batch, cancelling.
/// Compiled once per instruction set.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "backend/cpu/cell_recurrence.h"
#include "backend/cpu/sequence-inl.h"
#include "native/check.h"
#include "native/toy_cells.h"

namespace lookback {
namespace {

template <class S, class Cell>
const DriverTable<S>& table_of() {
  using V = Lanes<S>;
  static constexpr CellLoops<S> kLoops[] = {
      {"toy", kTileRows<V, tile_vectors<V, Cell>()>, run_forward<V, Cell>, run_backward<V, Cell>}};
  static const DriverTable<S> table = {
      kMaxBlock,
      {kBlockSizes[0], kBlockSizes[1], kBlockSizes[2], kBlockSizes[3], kBlockSizes[4]},
      true,
      kLoops,
      1,
      weight_gradient<V>,
      gradient_scratch<V>,
      gemm<V>,
      kPanelColumns<V>,
      kGemmScratch<V>,
  };
  return table;
}

/// A toy cell bound to the driver, with the arrays of one call.
template <class S, class Cell>
class Toy {
 public:
  Toy(int threads, const Cell& cell, const Declaration& declaration)
      : runtime(threads), recurrence_(runtime, table_of<S, Cell>(), instance(cell, declaration)) {}

  void forward(int64_t batch, int64_t steps) {
    tape_ = recurrence_.make_tape(batch, steps, true);
    call.batch = batch;
    call.steps = steps;
    recurrence_.forward(call, *tape_);
  }
  void backward() { recurrence_.backward(back, *tape_); }

  CpuRuntime runtime;
  ForwardCall<S> call;
  BackwardCall<S> back;

 private:
  static CellInstance instance(const Cell& cell, const Declaration& declaration) {
    CellInstance made;
    made.key = "toy";
    made.cell = std::make_shared<Cell>(cell);
    made.declaration = declaration;
    return made;
  }
  CellRecurrence<S> recurrence_;
  std::unique_ptr<Tape> tape_;
};

/// Small whole numbers: sums of their products are exact, so results must be equal.
double whole(int64_t i) { return static_cast<double>((i * 7 + i / 5) % 9 - 4); }

template <class S>
std::vector<S> wholes(int64_t count, int64_t from) {
  std::vector<S> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<S>(whole(from + i)));
  return numbers;
}

struct DelayCase {
  int64_t batch, steps, units;
  int window, entries;  ///< entries of the initial queue; 0: none given
  bool lengths;
  int threads;
};

/// The delay line of one row and unit, by its definition.
struct DelayRow {
  std::vector<double> y, queue, dx, d_queue0;

  DelayRow(const std::vector<double>& initial, const std::vector<double>& x, int window,
           const std::vector<double>& up_y, const std::vector<double>& up_queue) {
    std::vector<double> c = initial;
    const size_t given = initial.size();
    c.insert(c.end(), x.begin(), x.end());
    std::vector<double> dc(c.size());
    for (size_t t = 0; t < x.size(); ++t) {
      const size_t now = given + t;
      const size_t seen = std::min(now, static_cast<size_t>(window));
      double sum = 0;
      for (size_t a = 1; a <= seen; ++a) {
        sum += static_cast<double>(a) * c[now - a];
        dc[now - a] += static_cast<double>(a) * up_y[t];
      }
      y.push_back(sum + c[now]);
      dc[now] += up_y[t];
    }
    for (int i = 0; i < window; ++i) {
      const int64_t at = static_cast<int64_t>(c.size()) - window + i;
      queue.push_back(at < 0 ? 0 : c[static_cast<size_t>(at)]);
      if (at >= 0) dc[static_cast<size_t>(at)] += up_queue[static_cast<size_t>(i)];
    }
    d_queue0.assign(dc.begin(), dc.begin() + static_cast<ptrdiff_t>(given));
    dx.assign(dc.begin() + static_cast<ptrdiff_t>(given), dc.end());
  }
};

template <class S>
void check_delay(const DelayCase& c) {
  Declaration declaration;
  const DelayLine cell = DelayLine::declare(static_cast<int>(c.units), c.window, declaration);
  Toy<S, DelayLine> toy(c.threads, cell, declaration);
  const int64_t B = c.batch, T = c.steps, H = c.units, k = c.window, n = c.entries;
  std::vector<S> x = wholes<S>(B * T * H, 1), up_y = wholes<S>(B * T * H, 100);
  const std::vector<S> queue0 = wholes<S>(n * B * H, 300), up_queue = wholes<S>(k * B * H, 500);
  std::vector<S> y(x.size(), S(99)), queue_n(up_queue.size(), S(99)), dx(x.size(), S(99)),
      d_queue0(queue0.size(), S(99));
  std::vector<int32_t> lengths(static_cast<size_t>(B), static_cast<int32_t>(T));
  for (int64_t b = 0; c.lengths && b < B; ++b) {
    lengths[static_cast<size_t>(b)] = static_cast<int32_t>((b * 3 + 1) % (T + 1));
    // What stands in the padding must never be read.
    const int64_t end = lengths[static_cast<size_t>(b)];
    for (int64_t i = (b * T + end) * H; i < (b + 1) * T * H; ++i) {
      x[static_cast<size_t>(i)] = up_y[static_cast<size_t>(i)] =
          std::numeric_limits<S>::quiet_NaN();
    }
  }
  if (c.lengths) toy.call.lengths = lengths.data();
  toy.call.inputs["x"] = {x.data(), {B, T, H}};
  if (n > 0) toy.call.inputs["queue0"] = {queue0.data(), {n, B, H}};
  toy.call.outputs["y"] = {y.data(), {B, T, H}};
  toy.call.outputs["queue_n"] = {queue_n.data(), {k, B, H}};
  toy.forward(B, T);
  toy.back.upstream["y"] = {up_y.data(), {B, T, H}};
  toy.back.upstream["queue_n"] = {up_queue.data(), {k, B, H}};
  toy.back.d_inputs["x"] = {dx.data(), {B, T, H}};
  if (n > 0) toy.back.d_inputs["queue0"] = {d_queue0.data(), {n, B, H}};
  toy.backward();
  const auto at = [](const std::vector<S>& from, int64_t i) {
    return static_cast<double>(from[static_cast<size_t>(i)]);
  };
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t j = 0; j < H; ++j) {
      const int64_t end = lengths[static_cast<size_t>(b)];
      // Without an initial queue there is one entry, of zeros.
      std::vector<double> initial(n > 0 ? 0 : 1), row_x, row_up, row_up_queue;
      for (int64_t i = 0; i < n; ++i) initial.push_back(at(queue0, (i * B + b) * H + j));
      for (int64_t t = 0; t < end; ++t) row_x.push_back(at(x, (b * T + t) * H + j));
      for (int64_t t = 0; t < end; ++t) row_up.push_back(at(up_y, (b * T + t) * H + j));
      for (int64_t i = 0; i < k; ++i) row_up_queue.push_back(at(up_queue, (i * B + b) * H + j));
      const DelayRow row(initial, row_x, c.window, row_up, row_up_queue);
      for (int64_t t = 0; t < T; ++t) {
        const bool real = t < end;
        CHECK_EQUAL(at(y, (b * T + t) * H + j), real ? row.y[static_cast<size_t>(t)] : 0.0);
        CHECK_EQUAL(at(dx, (b * T + t) * H + j), real ? row.dx[static_cast<size_t>(t)] : 0.0);
      }
      for (int64_t i = 0; i < k; ++i) {
        CHECK_EQUAL(at(queue_n, (i * B + b) * H + j), row.queue[static_cast<size_t>(i)]);
      }
      for (int64_t i = 0; i < n; ++i) {
        CHECK_EQUAL(at(d_queue0, (i * B + b) * H + j), row.d_queue0[static_cast<size_t>(i)]);
      }
    }
  }
}

template <class S>
void check_delays() {
  constexpr int64_t kTile = kTileRows<Lanes<S>>;
  for (const int64_t batch : {int64_t{1}, kTile / 2, kTile / 2 + 1, 2 * kTile + 1}) {
    for (const int window : {1, 3, 8}) {
      for (const int entries : {0, 1, std::min(window, 3)}) {
        for (const int64_t steps : {1, 2, 7}) {
          for (const bool lengths : {false, true}) {
            check_delay<S>({batch, steps, 3, window, entries, lengths, 1 + window % 3});
          }
        }
      }
    }
  }
}

TEST(sequence_of_a_delay_line_in_float) { check_delays<float>(); }
TEST(sequence_of_a_delay_line_in_double) { check_delays<double>(); }

/// s_t = m (2 s_{t-1} + x_t) + (1 - m) s_{t-1}: all of it powers of two times whole numbers.
std::vector<double> leak(const std::vector<double>& x, const std::vector<double>& mask, double s0) {
  std::vector<double> s;
  for (size_t t = 0; t < x.size(); ++t) {
    s.push_back(mask[t] * (2 * s0 + x[t]) + (1 - mask[t]) * s0);
    s0 = s.back();
  }
  return s;
}

/// Sums by rows and over all rows at once are the same, in tiles that are full, are not, and end
/// early, after an earlier pass has left its sums behind.
template <class S, int kVectors>
void check_totals() {
  constexpr int64_t kSteps = 5, kUnits = 3, kTile = kTileRows<Lanes<S>, kVectors>;
  for (const int64_t batch : {int64_t{1}, kTile - 1, kTile, 2 * kTile + 1}) {
    Declaration declaration;
    const auto cell = Scales<kVectors>::declare(kUnits, declaration);
    Toy<S, Scales<kVectors>> toy(2, cell, declaration);
    const std::vector<S> x = wholes<S>(batch * kSteps * kUnits, 1);
    const std::vector<S> up = wholes<S>(batch * kSteps * kUnits, 50);
    const std::vector<S> v = wholes<S>(kUnits, 3), w = wholes<S>(kUnits, 5);
    std::vector<int32_t> lengths;
    for (int64_t b = 0; b < batch; ++b)
      lengths.push_back(static_cast<int32_t>(b % 2 == 0 ? kSteps : b % kSteps));
    std::vector<double> expected(kUnits);
    for (int64_t i = 0; i < batch * kSteps * kUnits; ++i) {
      const int64_t row = i / (kSteps * kUnits), step = i / kUnits % kSteps;
      if (step < lengths[static_cast<size_t>(row)])
        expected[static_cast<size_t>(i % kUnits)] +=
            static_cast<double>(x[static_cast<size_t>(i)] * up[static_cast<size_t>(i)]);
    }
    toy.call.inputs = {{"x", {x.data(), {batch, kSteps, kUnits}}}};
    toy.call.lengths = lengths.data();
    toy.call.params = toy.back.params = {v.data(), w.data()};
    toy.back.upstream = {{"y", {up.data(), {batch, kSteps, kUnits}}}};
    for (int pass = 0; pass < 2; ++pass) {
      std::vector<S> dv(kUnits), dw(kUnits);
      toy.back.d_params = {dv.data(), dw.data()};
      toy.forward(batch, kSteps);
      toy.backward();
      for (size_t j = 0; j < kUnits; ++j) {
        CHECK_EQUAL(dv[j], expected[j]);
        CHECK_EQUAL(dw[j], expected[j]);
      }
    }
  }
}

TEST(sequence_sums_over_rows_at_once) {
  check_totals<float, 1>();
  check_totals<float, 2>();
  check_totals<double, 1>();
  check_totals<double, 2>();
}

TEST(sequence_held_by_a_mask) {
  using S = double;
  constexpr int64_t kBatch = kTileRows<Lanes<S>> + 3, kSteps = 6;
  Declaration declaration;
  const Leak cell = Leak::declare(declaration);
  Toy<S, Leak> toy(2, cell, declaration);
  const std::vector<S> x = wholes<S>(kBatch * kSteps, 1), up = wholes<S>(kBatch * kSteps, 50);
  const std::vector<S> s0 = wholes<S>(kBatch, 9), up_s = wholes<S>(kBatch, 70);
  std::vector<S> mask, y(x.size()), s_n(s0.size()), dx(x.size()), d_s0(s0.size());
  for (int64_t i = 0; i < kBatch * kSteps; ++i)
    mask.push_back(std::vector<S>{1, 0, 0.5}[static_cast<size_t>(i % 7 % 3)]);
  toy.call.inputs = {{"x", {x.data(), {kBatch, kSteps, 1}}},
                     {"mask", {mask.data(), {kBatch, kSteps}}},
                     {"s0", {s0.data(), {kBatch, 1}}}};
  toy.call.outputs = {{"y", {y.data(), {}}}, {"s_n", {s_n.data(), {}}}};
  toy.forward(kBatch, kSteps);
  toy.back.upstream = {{"y", {up.data(), {kBatch, kSteps, 1}}},
                       {"s_n", {up_s.data(), {kBatch, 1}}}};
  toy.back.d_inputs = {{"x", {dx.data(), {}}}, {"s0", {d_s0.data(), {}}}};
  toy.backward();
  for (size_t b = 0; b < kBatch; ++b) {
    const auto row = [&](const std::vector<S>& all) {
      const auto first = all.begin() + static_cast<ptrdiff_t>(b * kSteps);
      return std::vector<double>(first, first + kSteps);
    };
    const std::vector<double> expected = leak(row(x), row(mask), s0[b]);
    CHECK(row(y) == expected);
    CHECK_EQUAL(s_n[b], expected.back());
    // Linear in its inputs, so each derivative is the response to a unit.
    const auto response = [&](const std::vector<double>& unit, double unit_s0) {
      const std::vector<double> s = leak(unit, row(mask), unit_s0);
      double sum = s.back() * up_s[b];
      for (size_t t = 0; t < kSteps; ++t) sum += s[t] * up[b * kSteps + t];
      return sum;
    };
    for (size_t t = 0; t < kSteps; ++t) {
      std::vector<double> unit(kSteps);
      unit[t] = 1;
      CHECK_EQUAL(dx[b * kSteps + t], response(unit, 0));
    }
    CHECK_EQUAL(d_s0[b], response(std::vector<double>(kSteps), 1));
  }
}

/// The reductions of `Centre` by their definitions, for one unit: mean and biased variance over
/// rows that are running and two entries x and 3 x, then dx = sums of dy and of dy x.
class CentreReference {
 public:
  CentreReference(const std::vector<double>& x, const std::vector<int32_t>& lengths, int64_t steps)
      : x_(x), lengths_(lengths), steps_(steps) {}

  template <class F>
  double sum(int64_t t, F f) const {
    double total = 0;
    for (size_t b = 0; b < lengths_.size(); ++b) {
      if (t < lengths_[b]) total += f(x_[b * static_cast<size_t>(steps_) + static_cast<size_t>(t)]);
    }
    return total;
  }
  double rows(int64_t t) const {
    return sum(t, [](double) { return 1.0; });
  }
  double mean(int64_t t) const {
    return sum(t, [](double x) { return 4 * x; }) / (2 * rows(t));
  }
  double var(int64_t t) const {
    const double m = mean(t);
    return sum(t, [m](double x) { return (x - m) * (x - m) + (3 * x - m) * (3 * x - m); }) /
           (2 * rows(t));
  }

 private:
  const std::vector<double>& x_;
  const std::vector<int32_t>& lengths_;
  int64_t steps_;
};

/// One pass of `Centre`: y, dx, running mean and variance in a row.
std::vector<double> run_centre(int threads, int64_t batch, int64_t steps,
                               const std::vector<double>& x, const std::vector<double>& up,
                               const std::vector<int32_t>& lengths) {
  Declaration declaration;
  const Centre cell = Centre::declare(declaration);
  Toy<double, Centre> toy(threads, cell, declaration);
  std::vector<double> y(x.size()), dx(x.size()), mean{0.25}, var{2};
  toy.call.training = true;
  toy.call.lengths = lengths.data();
  toy.call.inputs = {{"x", {x.data(), {batch, steps, 1}}}};
  toy.call.outputs = {{"y", {y.data(), {}}},
                      {"buf.site.mean", {mean.data(), {}}},
                      {"buf.site.var", {var.data(), {}}}};
  toy.forward(batch, steps);
  toy.back.upstream = {{"y", {up.data(), {batch, steps, 1}}}};
  toy.back.d_inputs = {{"x", {dx.data(), {}}}};
  toy.backward();
  std::vector<double> all = y;
  all.insert(all.end(), dx.begin(), dx.end());
  all.push_back(mean[0]);
  all.push_back(var[0]);
  return all;
}

TEST(sequence_with_reductions_over_the_batch) {
  constexpr int64_t kSteps = 5;
  for (const int64_t batch : {int64_t{2}, int64_t{3} * kTileRows<Lanes<double>> + 1}) {
    std::vector<double> x = wholes<double>(batch * kSteps, 3);
    const std::vector<double> up = wholes<double>(batch * kSteps, 40);
    std::vector<int32_t> lengths;
    for (int64_t b = 0; b < batch; ++b)
      lengths.push_back(static_cast<int32_t>(b % 3 == 1 ? b % kSteps : kSteps));
    const std::vector<double> all = run_centre(1, batch, kSteps, x, up, lengths);
    for (const int threads : {2, 3}) {
      CHECK(run_centre(threads, batch, kSteps, x, up, lengths) == all);
    }
    const CentreReference reference(x, lengths, kSteps), weights(up, lengths, kSteps);
    double running_mean = 0.25, running_var = 2;
    for (int64_t t = 0; t < kSteps; ++t) {
      const double mean = reference.mean(t), var = reference.var(t), rows = reference.rows(t);
      double first = 0, second = 0;
      for (int64_t b = 0; b < batch; ++b) {
        const size_t i = static_cast<size_t>(b * kSteps + t);
        if (t >= lengths[static_cast<size_t>(b)]) continue;
        first += up[i];
        second += up[i] * x[i];
      }
      for (int64_t b = 0; b < batch; ++b) {
        const size_t i = static_cast<size_t>(b * kSteps + t);
        const bool runs = t < lengths[static_cast<size_t>(b)];
        // Rows * 2 additions of numbers below 12, then a root: 1e-13 is a thousand roundings.
        CHECK_NEAR(all[i], runs ? (x[i] - mean) / std::sqrt(var + 1e-5) : 0, 1e-13);
        // Whole numbers: exact.
        CHECK_EQUAL(all[x.size() + i], runs ? 2 * first + second : 0);
      }
      running_mean = 0.9 * running_mean + 0.1 * mean;
      running_var = 0.9 * running_var + 0.1 * var * 2 * rows / (2 * rows - 1);
    }
    CHECK_NEAR(all[2 * x.size()], running_mean, 1e-13);
    CHECK_NEAR(all[2 * x.size() + 1], running_var, 1e-12);
  }
}

/// Equal rows have exactly their value as the mean and 0 as the variance, whatever its rounding.
TEST(sequence_reductions_of_equal_rows_are_exact) {
  constexpr int64_t kBatch = 2 * kTileRows<Lanes<double>> + 5;
  Declaration declaration;
  const Centre cell = Centre::declare(declaration, 1);
  Toy<double, Centre> toy(2, cell, declaration);
  const std::vector<double> x(kBatch, 0.1);
  std::vector<double> y(kBatch, 99);
  toy.call.training = true;
  toy.call.inputs = {{"x", {x.data(), {kBatch, 1, 1}}}};
  toy.call.outputs = {{"y", {y.data(), {}}}};
  toy.forward(kBatch, 1);
  for (const double value : y) CHECK_EQUAL(value, 0.0);
}

TEST(sequence_cancelled_at_any_time_leaves_the_cell_usable) {
  constexpr int64_t kBatch = 3 * kTileRows<Lanes<double>>, kSteps = 20000;
  Declaration declaration;
  const Centre cell = Centre::declare(declaration);
  Toy<double, Centre> toy(3, cell, declaration);
  const std::vector<double> x(kBatch * kSteps, 0.5);
  std::atomic<bool> cancel{true};
  toy.runtime.cancel = &cancel;
  toy.call.training = true;
  toy.call.inputs = {{"x", {x.data(), {kBatch, kSteps, 1}}}};
  CHECK_THROWS(kAborted, "cancelled", toy.forward(kBatch, kSteps));
  CHECK_THROWS(kState, "forward", toy.backward());
  for (int round = 0; round < 10; ++round) {
    cancel = false;
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
      cancel = true;
    });
    CHECK_THROWS(kAborted, "cancelled", toy.forward(kBatch, kSteps));
    other.join();
  }
  cancel = false;
  toy.call.inputs["x"].shape = {kBatch, 10, 1};
  toy.forward(kBatch, 10);
  toy.backward();
  CHECK_THROWS(kState, "once", toy.backward());
}

}  // namespace
}  // namespace lookback
