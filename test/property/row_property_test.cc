/// A row's arithmetic depends on that row alone: not on its neighbours, its place in the batch,
/// what pads it, or where a sequence is cut. All of it bit for bit, for everything but batch
/// statistics.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/recurrence.h"
#include "native/cell_parts.h"
#include "native/cell_run.h"
#include "native/check.h"

namespace lookback {
namespace {

bool rows_are_independent(const CellCase& c) {
  const bool batch_norm =
      c.cell == "bnlstm" || (c.cell == "larnn" && c.spec.word("normalization", "batch") == "batch");
  return !(batch_norm && c.training);
}

/// Everything that belongs to rows must be what `whole` has for this part.
template <class S>
void check_part(const CellCase& c, const char* what, const CellData& whole_data,
                const CellResult<S>& whole, const Part& part, const CellResult<S>& result) {
  const auto check = [&](const std::string& name, const Arrays<S>& all, const Arrays<S>& some,
                         const std::map<std::string, Shape>& shapes) {
    if (take(name, all.at(name), shapes.at(name), part) != some.at(name)) {
      check::fail(c.name.c_str(), static_cast<int>(part.rows[0]),
                  text(what, ": other bits of ", name));
    }
  };
  for (const auto& [name, shape] : whole_data.output_shapes) {
    if (!starts_with(name, "buf.") && whole_data.derived.count(name) == 0) {
      check(name, whole.outputs, result.outputs, whole_data.output_shapes);
    }
  }
  for (const auto& [name, shape] : whole_data.input_shapes) {
    if (whole.gradients.count(name) != 0) {
      check(name, whole.gradients, result.gradients, whole_data.input_shapes);
    }
  }
}

/// Whether few rows of its cell may have loops of their own.
bool unitwise(const CellCase& c) { return c.cell != "larnn" && c.cell != "rra"; }

/// The units of the cases fill no vector; these fill two of any instruction set. False where the
/// case would gain nothing.
bool widen(CellCase& c) {
  if (!unitwise(c)) return false;
  const bool pair = c.cell == "enrnn";
  c.name += ", whole vectors";
  for (const char* size : {"longUnits", "shortUnits"})
    if (pair) c.spec.set(size, 16.0);
  if (!pair) c.spec.set("units", 32.0);
  return true;
}

/// The cases that the properties hold for, as float and double.
template <class Check>
void for_cases(const Check& check) {
  CpuRuntime runtime(1);
  int checked = 0;
  for (CellCase c : cell_cases()) {
    // Drawn masks belong to a row's place in the batch.
    if (!rows_are_independent(c) || c.drawn) continue;
    c.batch = 37;
    check(c, *make_cpu_recurrence<float>(runtime, c.cell, c.spec));
    check(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
    ++checked;
    if (!widen(c)) continue;
    check(c, *make_cpu_recurrence<float>(runtime, c.cell, c.spec));
    check(c, *make_cpu_recurrence<double>(runtime, c.cell, c.spec));
    ++checked;
  }
  std::cout << "     " << checked << " cases\n";
}

template <class S>
void check_alone(const CellCase& c, Recurrence<S>& cell) {
  const CellData data = make_data(c, cell);
  const CellResult<S> whole = run_cell(cell, data);
  for (const int64_t row : {0, 3, 16, 35}) {
    const Part part{{row}, 0, c.steps};
    check_part(c, "a row alone", data, whole, part, run_cell(cell, data_of_part(data, part)));
  }
}

TEST(a_row_alone_equals_itself_in_a_batch) {
  for_cases([](const CellCase& c, auto& cell) { check_alone(c, cell); });
}

/// Zero but for the rows of a part.
void keep_rows(size_t axis, const Shape& shape, const Part& part, std::vector<double>& numbers) {
  const Shape after(shape.begin() + static_cast<ptrdiff_t>(axis) + 1, shape.end());
  const int64_t inner = count(after);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / inner % shape[axis];
    if (std::find(part.rows.begin(), part.rows.end(), row) == part.rows.end()) numbers[i] = 0;
  }
}

/// Few rows have loops of their own, with another order of the sums in a weight's gradient: it must
/// be that of a batch in which no other row has one.
template <class S>
void check_few(const CellCase& c, Recurrence<S>& cell) {
  if (!unitwise(c)) return;
  CellData data = make_data(c, cell);
  const Part part{{0, 1, 4}, 0, c.steps};
  for (auto& [name, numbers] : data.upstream)
    keep_rows(batch_axis(name, data.output_shapes.at(name)), data.output_shapes.at(name), part,
              numbers);
  const CellResult<S> whole = run_cell(cell, data);
  const CellResult<S> few = run_cell(cell, data_of_part(data, part));
  for (const std::string& name : data.param_order) {
    if (data.fixed.count(name) != 0) continue;
    S size(0), apart(0);
    for (size_t i = 0; i < few.gradients.at(name).size(); ++i) {
      const S expected = whole.gradients.at(name)[i];
      size = std::max(size, std::abs(expected));
      apart = std::max(apart, std::abs(few.gradients.at(name)[i] - expected));
    }
    if (!(apart <= 100 * std::numeric_limits<S>::epsilon() * size))
      check::fail(c.name.c_str(), 3, text("few rows: ", name, " is off by ", apart, " of ", size));
  }
}

TEST(few_rows_have_the_gradients_that_they_have_in_a_batch) {
  for_cases([](const CellCase& c, auto& cell) { check_few(c, cell); });
}

template <class S>
void check_permuted(const CellCase& c, Recurrence<S>& cell) {
  const CellData data = make_data(c, cell);
  const CellResult<S> whole = run_cell(cell, data);
  Part part{{}, 0, c.steps};
  for (int64_t i = 0; i < c.batch; ++i) part.rows.push_back((i * 11 + 5) % c.batch);
  check_part(c, "permuted rows", data, whole, part, run_cell(cell, data_of_part(data, part)));
}

TEST(permuting_rows_permutes_outputs) {
  for_cases([](const CellCase& c, auto& cell) { check_permuted(c, cell); });
}

/// What stands behind the end of a row's sequence: the worst there is.
void spoil_padding(CellData& data) {
  const auto spoil = [&](std::vector<double>& numbers, int64_t width) {
    for (int64_t b = 0; b < data.batch; ++b) {
      const int64_t end = (b + 1) * data.steps * width;
      for (int64_t i = (b * data.steps + data.lengths[static_cast<size_t>(b)]) * width; i < end;
           ++i) {
        numbers[static_cast<size_t>(i)] = std::numeric_limits<double>::quiet_NaN();
      }
    }
  };
  spoil(data.inputs.at("x"), data.input_shapes.at("x")[2]);
  spoil(data.upstream.at("y"), data.output_shapes.at("y")[2]);
}

template <class S>
void check_padded(CellCase c, Recurrence<S>& cell) {
  if (replays(c.spec)) return;
  c.lengths = true;
  CellData data = make_data(c, cell);
  spoil_padding(data);
  const CellResult<S> whole = run_cell(cell, data);
  for (const auto& [name, numbers] : whole.gradients) {
    for (const S number : numbers) {
      if (!std::isfinite(number)) {
        check::fail(c.name.c_str(), 0, text("padding reached the gradient of ", name));
        break;
      }
    }
  }
  for (const int64_t row : {0, 1, 3, 4, 36}) {
    const Part part{{row}, 0, data.lengths[static_cast<size_t>(row)]};
    if (part.end == 0) continue;
    CellData alone = data_of_part(data, part);
    alone.lengths.clear();
    check_part(c, "without padding", data, whole, part, run_cell(cell, alone));
  }
  // Row 2 has no step at all: nothing comes out, and its state stays.
  const Part none{{2}, 0, c.steps};
  const auto zero = [&](const std::string& name, const Arrays<S>& arrays,
                        const std::map<std::string, Shape>& shapes) {
    for (const S number : take(name, arrays.at(name), shapes.at(name), none))
      CHECK_EQUAL(number, S(0));
  };
  zero("y", whole.outputs, data.output_shapes);
  zero("y_last", whole.outputs, data.output_shapes);
  zero("x", whole.gradients, data.input_shapes);
}

TEST(padding_is_never_read) {
  for_cases([](const CellCase& c, auto& cell) { check_padded(c, cell); });
}

/// The state that a chunk leaves, as the one the next chunk starts from. A queue hands over the
/// entries that exist: the last ones.
template <class S>
void hand_over(const Arrays<S>& outputs, const CellData& from, CellData& to) {
  for (const auto& [name, shape] : from.output_shapes) {
    if (!ends_with(name, "_n")) continue;
    const std::string initial = initial_name(name);
    std::vector<S> numbers = outputs.at(name);
    Shape given = shape;
    if (outputs.count("queue_count") != 0 && starts_with(name, "queue")) {
      const auto entries = static_cast<int64_t>(outputs.at("queue_count")[0]);
      const int64_t entry = shape[2] * shape[3], all = shape[1] * entry;
      given[1] = entries;
      std::vector<S> last;
      for (int64_t layer = 0; layer < shape[0]; ++layer) {
        const auto begin = numbers.begin() + static_cast<ptrdiff_t>(layer * all);
        last.insert(last.end(), begin + static_cast<ptrdiff_t>(all - entries * entry),
                    begin + static_cast<ptrdiff_t>(all));
      }
      numbers = last;
    }
    to.inputs[initial].assign(numbers.begin(), numbers.end());
    to.input_shapes[initial] = given;
  }
}

/// Steps 0, 1-2 and 3-5 as three calls, each on the state that the one before it left.
template <class S>
void check_chunks(const CellCase& c, Recurrence<S>& cell) {
  // Running statistics per step belong to a place in the call; queues of rows that have ended hold
  // different numbers of entries, which one call cannot take.
  if (replays(c.spec) || c.cell == "bnlstm") return;
  if (c.spec.word("bnStats", "shared") == "perStep") return;
  if (c.cell != "lstm" && (c.lengths || (c.resets && c.spec.has("window")))) return;
  // A window that is handed over counts as full.
  if (c.spec.word("warmup", "zeros") == "renormalize") return;
  const CellData data = make_data(c, cell);
  const CellResult<S> whole = run_cell(cell, data);
  Part part;
  for (int64_t b = 0; b < c.batch; ++b) part.rows.push_back(b);
  Arrays<S> state;
  CellData before;
  const int64_t cuts[] = {0, 1, 3, c.steps};
  for (int i = 0; i < 3; ++i) {
    part.begin = cuts[i];
    part.end = cuts[i + 1];
    CellData chunk = data_of_part(data, part);
    if (i > 0) hand_over(state, before, chunk);
    state = run_cell(cell, chunk).outputs;
    if (take("y", whole.outputs.at("y"), data.output_shapes.at("y"), part) != state.at("y")) {
      check::fail(c.name.c_str(), i, "a chunk has other bits of y");
    }
    before = chunk;
  }
  for (const auto& [name, shape] : data.output_shapes) {
    if (ends_with(name, "_n") && state.at(name) != whole.outputs.at(name)) {
      check::fail(c.name.c_str(), 3, text("the last chunk has other bits of ", name));
    }
  }
}

TEST(a_sequence_in_chunks_equals_the_whole) {
  for_cases([](const CellCase& c, auto& cell) {
    if (c.steps == 6) check_chunks(c, cell);
  });
}

/// Backward too where a state is one number a unit: the gradient of a chunk's initial state is that
/// of the final state of the chunk before.
template <class S>
void check_chunked_gradients(const CellCase& c, Recurrence<S>& cell) {
  const CellData data = make_data(c, cell);
  const CellResult<S> whole = run_cell(cell, data);
  Part part;
  for (int64_t b = 0; b < c.batch; ++b) part.rows.push_back(b);
  const Part first{part.rows, 0, 4}, second{part.rows, 4, c.steps};
  CellData front = data_of_part(data, first), back = data_of_part(data, second);
  front.upstream.erase("y_last");
  front.output_shapes.erase("y_last");
  hand_over(run_cell(cell, front).outputs, front, back);
  const CellResult<S> last = run_cell(cell, back);
  for (const char* state : {"h", "c"}) {
    const std::vector<S>& d = last.gradients.at(std::string(state) + "0");
    front.upstream.at(std::string(state) + "_n").assign(d.begin(), d.end());
  }
  const CellResult<S> start = run_cell(cell, front);
  CHECK(take("x", whole.gradients.at("x"), data.input_shapes.at("x"), second) ==
        last.gradients.at("x"));
  CHECK(take("x", whole.gradients.at("x"), data.input_shapes.at("x"), first) ==
        start.gradients.at("x"));
  for (const char* state : {"h0", "c0"}) {
    if (whole.gradients.count(state) == 0) continue;
    CHECK(start.gradients.at(state) == whole.gradients.at(state));
  }
}

TEST(gradients_in_chunks_equal_the_whole) {
  for_cases([](const CellCase& c, auto& cell) {
    if (c.cell == "lstm" && !c.lengths && c.steps == 6) check_chunked_gradients(c, cell);
  });
}

}  // namespace
}  // namespace lookback
