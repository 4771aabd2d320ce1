/// The contract between a cell (its mathematics) and a driver (one device's loop over time).
///
/// A cell is a small plain struct: sizes, options, and handles to the storage it declared. Its
/// `forward` and `backward` are programs of one time step over an execution context X:
///
///   x.at(slot, dt)        the column of a slot at step t + dt (for states: the value made by that
///   step) x.each(n, f)          f(r, j) for every batch row r and unit j < n, independent of each
///   other x.rows(n, f)          the same for work that loops over units itself (attention: one
///   row, one head) r(column, j)          the number of row r, unit j: a `float`, a `Lanes` of
///   rows, a `Dual` x.linear(l)           out = sum of packed weights times sources + bias, for all
///   rows x.adjoint(l)          gradients of its sources, from the gradient of its output
///   x.vector(v)           a parameter read per unit
///   x.active(r)           1 for rows that take part in this step, 0 for padding and ended
///   sequences x.moments / x.sums    reductions over the batch (the only operations that couple
///   rows)
///
/// Between two of these calls all rows and units are complete; a driver that spreads them over
/// threads puts its barrier there. The same text runs as CPU lanes, as CUDA threads, and as those
/// threads emulated on a host.
///
/// A cell that needs nothing but `linear`, `adjoint` and `each`, and in x.each(n, f) nothing but
/// r(column, m n + j) for whole m and number j of a vector, says `kUnitwise`: a driver may hand it
/// several units at a time, j being the first of them.
///
/// A cell whose rows have much storage beside its weights (a window of keys and values) may say
/// `kTileVectors = 1`: the CPU's tiles of such a cell hold one vector of rows in place of two, so
/// that more of it stays in the near caches, while weights are read twice as often.
///
/// A cell whose statistics are of whole sequences has passes beside the loop: where `pools(x)` says
/// so, `survey(x)` runs for every step before the loop and `pool(x, steps)` after that; `settle(x)`
/// runs once after the backward loop, and `settle_step(x, totals, steps)` then for every step.
///
/// Dimensions, everywhere: B batch, T steps, C input size, H hidden size, K window, A heads, D head
/// size.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/portable.h"
#include "parametrization/parametrization.h"

namespace lookback {

/// Keeps every product of two sizes of a cell well inside 32 bits; far above what fits any
/// machine's cache or memory.
constexpr int kMaxUnits = 1 << 14;

/// Storage for `size` numbers per batch row, at one or more steps.
struct Slot {
  int id = -1;
  int size = 0;
};

/// A parameter (or a table derived from parameters) that a program reads one number at a time.
struct Vector {
  int id = -1;
};

struct Linear {
  int id = -1;
};

/// One place where statistics over the batch are taken.
struct BatchSite {
  int id = -1;
};

/// How long a slot lives.
enum class Life {
  kTape,     ///< every step is kept for backward (inference keeps only `history` steps)
  kCarry,    ///< a ring of `history` + 1 steps: gradients on their way to earlier steps. The driver
             ///< zeroes the oldest one before each step of backward, so programs only ever add
  kScratch,  ///< this step only
  kRing,   ///< the last `history` + 1 steps, which programs fill; backward finds it as forward left
           ///< it
  kSum,    ///< zero before the first step; summed over rows after the last
  kTotal,  ///< likewise, and only ever added to, by r.add(column, j, number): a device may keep one
           ///< number for all rows
  kPast,   ///< only the `history` steps before the first: values of a window that was carried in
  kPastGradient,  ///< their gradients, zero before backward
};

struct SlotInfo {
  Life life;
  int size;
  int history;  ///< steps before the first that exist (initial states)
  /// kTape that backward writes anew before it needs it: a driver may keep a few steps alone, and
  /// sum the gradients of the weights that are made from them in the loop.
  bool remade = false;
};

/// Fills a start of its own kind: `uniform(i)` is the parameter's own sequence of numbers in [0,
/// 1).
using StartFill =
    std::function<void(const std::function<double(int64_t)>& uniform, double* values)>;

template <class Cell>
constexpr bool kIsUnitwise = requires {
  Cell::kUnitwise;
};

/// How a parameter starts; mirrors `Initializer` of the backend without depending on it.
struct Start {
  enum Kind { kConstant, kUniform, kNormal, kOrthogonal, kIdentity, kCustom } kind = kConstant;
  double value = 0;  ///< the constant, the half-width around 0, or the standard deviation
  int constant_begin = 0,
      constant_end = 0;  ///< rows of the first dimension that get `constant` instead
  double constant = 0;
  StartFill fill = {};  ///< kCustom
};

struct CellParam {
  std::string name;
  std::vector<int> shape;
  Start start;
  bool fixed = false;  ///< chosen at the start and never trained: it has no gradient
};

/// A rectangle of a weight (a parameter, or a matrix derived from some) inside the matrix of a
/// Linear.
struct LinearBlock {
  int param;
  int param_row, param_col;
  int rows, cols;  ///< of the rectangle inside the Linear's matrix
  int out_row;
  int source;
  int source_col = 0;       ///< first unit of the source that the rectangle multiplies
  bool transposed = false;  ///< entry (r, c) is the weight's (param_row + c, param_col + r)
  double scale = 1;         ///< applied to every entry
};

struct BiasBlock {
  int param;
  int param_row;
  int rows;
  int out_row;
};

struct LinearSource {
  Slot value;
  int dt = 0;
  Slot gradient;            ///< id -1: nobody wants it
  bool accumulate = false;  ///< add to the gradient instead of assigning it
  int begin = 0;            ///< first unit of value and gradient that takes part
  int units = 0;            ///< how many do; 0: all
};

struct LinearInfo {
  Slot out;
  int out_begin = 0;  ///< first unit of `out` that is written
  int rows = 0;
  bool accumulate = false;  ///< add to `out` instead of assigning it
  Slot d_out;  ///< gradient of the output: read by `adjoint` and by the weight gradient
  int d_out_begin = 0;
  std::vector<LinearSource> sources;
  std::vector<LinearBlock> blocks;
  std::vector<BiasBlock> biases;
  int repeat = 1;  ///< applied to this many consecutive groups of source and output units
  bool from_initial = false;  ///< also applied to the initial states (steps before the first)
};

/// A state that is carried from step to step and may be given, read and differentiated.
struct StateInfo {
  std::string in, out;  ///< "h0", "h_n"
  Slot value, gradient;
  int entries = 1;     ///< the most that the caller may give and get
  bool queue = false;  ///< has a leading dimension of entries, also when it is 1
  int param = -1;  ///< what it starts from when none is given, the same for every row; -1: zeros
  /// A window: `value` holds its entries of the steps of the sequence, `past` (kPast) and `d_past`
  /// those from before, which are given as a whole or zero. It follows `value` and is never held
  /// itself. Newest first, where a queue is oldest first.
  Slot past = {}, d_past = {};
  /// Number of the sequence m with which the new value becomes m old + (1 - m) new; -1: none.
  int zoneout = -1;
  /// Deviation of the Gaussian noise that training adds to what a row starts from.
  double noise = 0;
};

/// A sequence of factors that the caller may give for every step, or that the driver draws.
struct SequenceInput {
  std::string name;
  Slot slot;              ///< where programs read it; id -1: only the loop over time does
  double rate = 0;        ///< for masks drawn by the driver; 0: only given ones
  bool constant = false;  ///< one draw for a row's whole sequence
  /// Units to keep (1 with probability `rate`, else 0), where the others are dropout's factors.
  bool zoneout = false;
};

struct BatchSiteInfo {
  std::string name;  ///< of the running statistics: "bn_k" for buf.bn_k.mean and buf.bn_k.var. Two
                     ///< sites of one name share them
  int features = 0;
  int rows = 0;  ///< of running statistics: [rows][features]; 0: as Declaration::batch_rows says
  bool pooled = false;  ///< one set for all steps, taken in a pass before the loop (`pools`)
  int entries = 1;      ///< numbers of a row that a feature's statistics are taken over, at most
};

/// What a parameter gradient is summed from after the last step.
struct SumInfo {
  Slot slot;
  int vector;  ///< index of the Vector it belongs to
};

struct VectorInfo {
  int param = -1;  ///< or -1 for constants, or for a table computed from parameters (TableInfo)
  int size = 0;
  std::vector<double> constants = {};
};

/// A vector derived from parameters once per training step, for queue positions: with the constants
/// p,
///   table[e][out_begin + o] = bias[o] + sum_i W[o][param_col + i] p[e][i]
struct TableBlock {
  int param, param_col, rows, out_begin, bias;
};
struct TableInfo {
  Vector vector;
  int entries = 0, width = 0;                  ///< the table is [entries][width]
  std::vector<std::vector<double>> constants;  ///< [entries][features]
  std::vector<TableBlock> blocks;
  /// Behind the table stands e^entry of each, and then one number: 1 where no entry is beyond +-70,
  /// so that e^u e^entry can stand for e^(u + entry) in an ELU for whatever u (a clamped e^u is off
  /// by less than e^-17 where the ELU is not u + entry itself), else 0.
  bool exponentials = false;
};

/// A matrix that `Declaration::parametrization` makes from parameters before a pass.
struct DerivedInfo {
  std::string name;  ///< as in the test vectors: "W"
  std::vector<int> shape;
  bool used = true;  ///< by the time loop; otherwise only told to the caller, without a gradient
};

/// A part of a tape slot, under the name that the cell's document has for it: what a caller may
/// look at between forward and backward.
struct SavedInfo {
  std::string name;
  Slot slot;
  int begin = 0;           ///< first unit
  std::vector<int> shape;  ///< of one row and step
};

/// Collects what a cell needs. Host only; runs once per model.
class Declaration {
 public:
  int param(std::string name, std::vector<int> shape, Start start = {}) {
    params.push_back({std::move(name), std::move(shape), start});
    return static_cast<int>(params.size()) - 1;
  }
  /// A weight that is chosen at the start and never trained: signs, a base point.
  int fixed_param(std::string name, std::vector<int> shape, Start start) {
    const int number = param(std::move(name), std::move(shape), std::move(start));
    params.back().fixed = true;
    return number;
  }
  /// A matrix made by `parametrization`, in the order of its results; gives a number that stands
  /// wherever that of a parameter may.
  int derived(std::string name, std::vector<int> shape) {
    derivations.push_back({std::move(name), std::move(shape)});
    return kDerived + static_cast<int>(derivations.size()) - 1;
  }
  /// A result of `parametrization` that no program reads: the caller sees it among the outputs.
  void told(std::string name, std::vector<int> shape) {
    derivations.push_back({std::move(name), std::move(shape), false});
  }
  /// The place of a weight in the list of all parameters followed by all derived matrices.
  size_t place_of(int weight) const {
    return weight < kDerived ? static_cast<size_t>(weight)
                             : params.size() + static_cast<size_t>(weight - kDerived);
  }
  const std::vector<int>& shape_of(int weight) const {
    return weight < kDerived ? params[static_cast<size_t>(weight)].shape
                             : derivations[static_cast<size_t>(weight - kDerived)].shape;
  }
  Slot past(int size, int history) { return slot(Life::kPast, size, history); }
  Slot past_gradient(int size, int history) { return slot(Life::kPastGradient, size, history); }
  Slot tape(int size, int history = 0) { return slot(Life::kTape, size, history); }
  Slot remade(int size) {
    const Slot made = slot(Life::kTape, size, 0);
    slots.back().remade = true;
    return made;
  }
  Slot carry(int size, int history = 1) { return slot(Life::kCarry, size, history); }
  Slot ring(int size, int history) { return slot(Life::kRing, size, history); }
  Slot scratch(int size) { return slot(Life::kScratch, size, 0); }
  Vector vector(int param, int size) {
    vectors.push_back({param, size});
    return {static_cast<int>(vectors.size()) - 1};
  }
  Vector constants(std::vector<double> values) {
    const int size = static_cast<int>(values.size());
    vectors.push_back({-1, size, std::move(values)});
    return {static_cast<int>(vectors.size()) - 1};
  }
  /// A dropout mask of `slot.size` factors per row and step; returns its number for `X::given`.
  int sequence(std::string name, int size, double rate) {
    sequences.push_back({std::move(name), scratch(size), rate, false, false});
    return static_cast<int>(sequences.size()) - 1;
  }
  /// The same, read by the loop over time alone.
  int mask(SequenceInput input, int size) {
    input.slot.size = size;
    sequences.push_back(std::move(input));
    return static_cast<int>(sequences.size()) - 1;
  }
  /// Per-row sums whose total over rows is the gradient of `of`.
  Slot sum(Vector of) {
    const Slot s = slot(Life::kSum, vectors[static_cast<size_t>(of.id)].size, 0);
    sums.push_back({s, of.id});
    return s;
  }
  /// The same, which programs only add to.
  Slot total(Vector of) {
    const Slot s = slot(Life::kTotal, vectors[static_cast<size_t>(of.id)].size, 0);
    sums.push_back({s, of.id});
    return s;
  }
  /// Names `units` of a tape slot from `begin` on; 0: all of them.
  void named(std::string name, Slot part, int begin = 0, int units = 0) {
    saved.push_back({std::move(name), part, begin, {units > 0 ? units : part.size}});
  }
  Linear linear(LinearInfo info) {
    linears.push_back(std::move(info));
    return {static_cast<int>(linears.size()) - 1};
  }
  BatchSite batch_site(std::string name, int features) {
    sites.push_back({std::move(name), features});
    return {static_cast<int>(sites.size()) - 1};
  }

  Slot x, dx, y, dy;  ///< input, output and their gradients at one step
  std::vector<SlotInfo> slots;
  std::vector<CellParam> params;
  std::vector<DerivedInfo> derivations;
  std::shared_ptr<Parametrization> parametrization;  ///< makes the derived matrices; null: none
  std::vector<VectorInfo> vectors;
  std::vector<SumInfo> sums;
  std::vector<SavedInfo> saved;
  std::vector<LinearInfo> linears;
  std::vector<TableInfo> tables;
  std::vector<StateInfo> states;
  std::vector<SequenceInput> sequences;
  int input_mask = -1;  ///< number of the sequence that x is multiplied by before the cell sees it
  std::vector<BatchSiteInfo> sites;
  double batch_eps = 1e-5, batch_momentum = 0.1;
  bool batch_unbiased = true;     ///< running variances are divided by the rows - 1
  bool shows_statistics = false;  ///< outputs "mean_NAME", "var_NAME": those each step has used
  bool needs_batch = false;       ///< training on one row is an error: it is its own mean
  int batch_rows = 0;             ///< of running statistics, one per step; 0: one set for all

 private:
  static constexpr int kDerived = 1 << 20;  ///< numbers of derived matrices begin here
  Slot slot(Life life, int size, int history) {
    slots.push_back({life, size, history});
    return {static_cast<int>(slots.size()) - 1, size};
  }
};

}  // namespace lookback
