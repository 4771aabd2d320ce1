#include "backend/cuda/block_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <sstream>

#include "backend/cuda/block_held.h"
#include "backend/cuda/block_times.h"
#include "base/error.h"

namespace lookback {
namespace {

constexpr int kLeastThreads = 128;

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }
int quads(int size) { return (size + 3) / 4; }

int source_units(const LinearInfo& info, const LinearSource& source) {
  return (source.units > 0 ? source.units : source.value.size) / info.repeat;
}

}  // namespace

int most_features(const Declaration& d) {
  int most = 0;
  for (const BatchSiteInfo& site : d.sites) most = std::max(most, site.features);
  return most;
}

BlockChoice& block_choice() {
  static BlockChoice choice;
  return choice;
}

BlockLayout::BlockLayout(const Declaration& d) : d_(d) {
  REQUIRE(d.slots.size() <= kMaxBlockSlots && d.linears.size() <= kMaxBlockLinears &&
              d.vectors.size() <= kMaxBlockVectors && d.sites.size() <= kMaxBlockSites,
          kInternal, "a cell has ", d.slots.size(), " slots, ", d.linears.size(), " products, ",
          d.vectors.size(), " vectors and ", d.sites.size(), " batch sites; make room for them");
  choose_input_sources();
  const auto place = [this](int64_t numbers) {
    const PackedPlace at = {packed_numbers_, numbers};
    packed_numbers_ += (numbers + 15) / 16 * 16;
    return at;
  };
  for (size_t l = 0; l < d.linears.size(); ++l) {
    const LinearInfo& info = d.linears[l];
    REQUIRE(info.sources.size() <= kMaxSources, kInternal, "a Linear has ", info.sources.size(),
            " sources");
    int64_t depth = 0;
    forward_.emplace_back();
    adjoint_.emplace_back();
    input_.emplace_back();
    for (size_t s = 0; s < info.sources.size(); ++s) {
      const int size = source_size(l, s);
      const bool before = input_source_[l] == static_cast<int>(s);
      if (before) input_.back() = place(int64_t{info.rows} * size);
      forward_.back().push_back(before ? PackedPlace()
                                       : place(int64_t{quads(size)} * 4 * info.rows));
      const LinearSource& source = info.sources[s];
      const bool after = input_gradient_after_ && source.gradient.id == d.dx.id;
      const bool wanted = source.gradient.id >= 0 && !after;
      adjoint_.back().push_back(wanted ? place(int64_t{quads(info.rows)} * 4 * size)
                                       : PackedPlace());
      depth += size;
    }
    bias_.push_back(info.biases.empty() ? PackedPlace() : place(info.rows));
    depth_.push_back(depth);
  }
}

int BlockLayout::source_size(size_t l, size_t source) const {
  return source_units(d_.linears[l], d_.linears[l].sources[source]);
}

/// x is multiplied before the loop where the product's result has room for every step. The gradient
/// of x is left for after the loop where products alone make it.
void BlockLayout::choose_input_sources() {
  bool assigned = false, after = true;
  for (const LinearInfo& info : d_.linears) {
    int chosen = -1;
    const bool taped =
        d_.slots[static_cast<size_t>(info.out.id)].life == Life::kTape && info.repeat == 1;
    const bool d_taped = d_.slots[static_cast<size_t>(info.d_out.id)].life == Life::kTape;
    for (size_t s = 0; s < info.sources.size(); ++s) {
      const LinearSource& source = info.sources[s];
      if (source.value.id != d_.x.id || source.dt != 0) continue;
      if (taped && !info.accumulate && !info.from_initial && chosen < 0)
        chosen = static_cast<int>(s);
      if (source.gradient.id != d_.dx.id) continue;
      assigned = assigned || !source.accumulate;
      after = after && d_taped && chosen == static_cast<int>(s) && source.begin == 0;
    }
    input_source_.push_back(chosen);
  }
  input_gradient_after_ = assigned && after;
}

namespace {

/// Decides what fits.
class Planner {
 public:
  Planner(const BlockLayout& layout, const BlockShape& shape, const BlockLimits& limits)
      : layout_(layout), d_(layout.declaration()), shape_(shape), limits_(limits) {}

  BlockPlan plan() {
    const BlockChoice& choice = block_choice();
    if (choice.shared_bytes >= 0)
      limits_.shared_bytes = std::min(limits_.shared_bytes, choice.shared_bytes);
    plan_.threads = choose_threads();
    if (shape_.coupled) {
      choose_shares(choice);
    } else {
      choose_cluster(choice);
    }
    choose_driver(choice);
    if (plan_.driver == BlockDriver::kStepwise) {
      plan_.cluster = plan_.shares = 1;
      plan_.rows = stepwise_rows(choice);
      place_rows();
      plan_.forward = plan_.backward = SharedPlan();
      plan_.forward.slots = plan_.backward.slots = std::vector<int32_t>(d_.slots.size(), -1);
    }
    return std::move(plan_);
  }

 private:
  /// One thread an output of the widest product, within reason; where there is but one product, a
  /// thread for each part of its sums, whose weights it may hold.
  int choose_threads() const {
    int widest = 0;
    for (const LinearInfo& info : d_.linears) widest = std::max(widest, info.rows * info.repeat);
    if (d_.linears.size() == 1) return kMostBlockThreads;
    return std::clamp(round_up(widest, 32), kLeastThreads, kMostBlockThreads);
  }
  /// As many blocks as there are multiprocessors, of one row at least; a weight that a thread has
  /// read serves up to eight rows, so more of them make no block faster.
  int choose_rows(const BlockChoice& choice) const {
    if (shape_.coupled) return static_cast<int>((shape_.batch + plan_.shares - 1) / plan_.shares);
    if (choice.rows > 0) return choice.rows;
    for (const int rows : {1, 2, 4}) {
      if ((shape_.batch + rows - 1) / rows * plan_.cluster <= limits_.multiprocessors) return rows;
    }
    return kMostRows;
  }
  void lay_out(int cluster, const BlockChoice& choice) {
    plan_.cluster = cluster;
    plan_.rows = choose_rows(choice);
    place_rows();
    plan_.forward = share(false);
    plan_.backward = share(true);
  }
  void choose_cluster(const BlockChoice& choice);
  bool can_cluster() const;
  void choose_shares(const BlockChoice& choice);
  bool has_all_columns() const { return all_columns(false) && (!shape_.keep || all_columns(true)); }
  bool all_columns(bool backward) const;
  double resident_step() const;
  double far_columns() const;
  int stepwise_rows(const BlockChoice& choice) const {
    if (choice.rows > 0) return choice.rows;
    const int64_t rows =
        (shape_.batch + 2 * limits_.multiprocessors - 1) / (2 * int64_t{limits_.multiprocessors});
    return static_cast<int>(std::clamp<int64_t>(rows, 1, 32));
  }

  void place_rows() {
    plan_.blocks = static_cast<int>((shape_.batch + plan_.rows - 1) / plan_.rows);
    if (plan_.shares > 1) plan_.blocks = plan_.shares;  // the last ones may have no row
    plan_.padded = int64_t{plan_.blocks} * plan_.rows;
    plan_.slots.clear();
    int64_t offset = 0;
    for (size_t s = 0; s < d_.slots.size(); ++s) {
      const SlotInfo& info = d_.slots[s];
      BlockSlot place;
      const bool kept = info.life == Life::kTape && (shape_.keep || for_all_steps(s));
      const bool before_first = info.life == Life::kPast || info.life == Life::kPastGradient;
      place.offset = offset;
      place.size = info.size;
      place.stride = round_up(info.size, 4);
      place.history = kept ? std::min(info.history, shape_.entries) : info.history;
      const int64_t depth = place.history + (before_first ? 0 : kept ? shape_.steps : int64_t{1});
      REQUIRE(depth < std::numeric_limits<int32_t>::max(), kShape, "steps ", shape_.steps,
              " are too many; at most 2^30");
      place.depth = static_cast<int32_t>(depth);
      place.carry = info.life == Life::kCarry;
      place.sum = info.life == Life::kSum || info.life == Life::kTotal;
      place.reach = info.history;
      const int64_t column = checked_mul(plan_.padded, place.stride, "activations");
      offset = checked_add(offset, checked_mul(depth, column, "activations"), "activations");
      plan_.slots.push_back(place);
    }
    plan_.storage_numbers = offset;
  }
  /// What products over all steps read and write.
  bool for_all_steps(size_t slot) const {
    if (static_cast<int>(slot) == d_.x.id) return true;
    for (size_t l = 0; l < d_.linears.size(); ++l) {
      if (layout_.input_source(l) >= 0 && d_.linears[l].out.id == static_cast<int>(slot))
        return true;
    }
    return false;
  }

  /// Columns first, small ones before large ones, then weights likewise.
  SharedPlan share(bool backward) const {
    SharedPlan out;
    out.slots.assign(d_.slots.size(), -1);
    for (const LinearInfo& info : d_.linears) out.weights.emplace_back(info.sources.size());
    const int64_t budget = limits_.shared_bytes / shape_.number_bytes;
    constexpr int64_t partials = kNominalThreads * kMostRows;
    int64_t used = partials;
    if (plan_.cluster > 1) used += round_up(plan_.rows + 1, 4);
    if (plan_.shares > 1) used += round_up(2 * message_numbers(most_features(d_)), 4);
    if (used > budget) return out;
    out.partial_numbers = out.common = static_cast<int32_t>(partials);
    std::vector<size_t> order(d_.slots.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return slot_numbers(a) < slot_numbers(b); });
    for (const size_t s : order) {
      if (!may_share(s, backward) || used + slot_numbers(s) > budget) continue;
      out.slots[s] = static_cast<int32_t>(used);
      used += slot_numbers(s);
    }
    out.held = plan_.cluster == 1 && holds(backward);
    share_weights(backward, budget, used, out);
    out.numbers = static_cast<int32_t>(used);
    return out;
  }
  /// Whether the pass has one product, and each of a block's threads has registers for its share of
  /// the weights. Doubles take two each.
  bool holds(bool backward) const {
    if (!block_choice().hold || shape_.number_bytes != sizeof(float) || d_.linears.size() != 1)
      return false;
    const LinearInfo& info = d_.linears[0];
    int products = 0, size = 0, begin = 0, outputs = 0;
    for (size_t s = 0; s < info.sources.size(); ++s) {
      if ((backward ? layout_.adjoint(0, s) : layout_.forward(0, s)).numbers == 0) continue;
      ++products;
      size = backward ? info.rows : layout_.source_size(0, s);
      begin = backward ? info.d_out_begin : info.sources[s].begin;
      outputs = backward ? layout_.source_size(0, s) : info.rows;
    }
    if (products != 1 || info.repeat != 1 || size % 4 != 0 || begin % 4 != 0) return false;
    const int parts = product_parts(outputs);
    return outputs * parts <= plan_.threads && (quads(size) + parts - 1) / parts <= kHeldQuads;
  }
  void share_weights(bool backward, int64_t budget, int64_t& used, SharedPlan& out) const {
    struct Part {
      int64_t numbers, quad;  ///< a quad: of all the block's outputs
      size_t linear, source;
    };
    std::vector<Part> parts;
    for (size_t l = 0; l < d_.linears.size(); ++l) {
      for (size_t s = 0; s < d_.linears[l].sources.size(); ++s) {
        const PackedPlace& at = backward ? layout_.adjoint(l, s) : layout_.forward(l, s);
        if (at.numbers == 0) continue;
        const int outputs = backward ? layout_.source_size(l, s) : d_.linears[l].rows;
        const int64_t quad = int64_t{4} * cluster_part(outputs, plan_.cluster);
        const int64_t numbers = at.numbers / (int64_t{4} * outputs) * quad;
        if (!out.held) parts.push_back({numbers, quad, l, s});
        out.weight_numbers += numbers;
      }
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part& a, const Part& b) { return a.numbers < b.numbers; });
    for (const Part& part : parts) {
      const int64_t fit = std::min(part.numbers, budget - used) / part.quad;
      out.weights[part.linear][part.source] = {static_cast<int32_t>(used),
                                               static_cast<int32_t>(fit)};
      used += fit * part.quad;
      out.weight_numbers_shared += fit * part.quad;
    }
  }
  int64_t slot_numbers(size_t s) const {
    const BlockSlot& p = plan_.slots[s];
    return (int64_t{p.reach} + 1) * plan_.rows * p.stride;
  }
  /// Statistics over whole sequences walk through the tape more than once, so it stays where it is.
  bool may_share(size_t s, bool backward) const {
    const int id = static_cast<int>(s);
    switch (d_.slots[s].life) {
      case Life::kTape:
        return id != d_.x.id && !pooled();
      case Life::kScratch:
        return backward ? id != d_.dx.id || !layout_.input_gradient_after()
                        : id != d_.dx.id && id != d_.dy.id;
      case Life::kCarry:
      case Life::kSum:
      case Life::kTotal:
        return backward;
      case Life::kRing:
        return true;
      case Life::kPast:  // few steps of a sequence read these
        return plan_.cluster > 1;
      case Life::kPastGradient:
        return plan_.cluster > 1 && backward;
    }
    return false;
  }
  /// Whether the loop has a product of that Linear, or of its gradient beside that of x.
  bool has_product(size_t l, bool backward) const {
    const LinearInfo& info = d_.linears[l];
    for (size_t s = 0; s < info.sources.size(); ++s) {
      if (backward ? layout_.adjoint(l, s).numbers > 0 && info.sources[s].gradient.id != d_.dx.id
                   : layout_.forward(l, s).numbers > 0)
        return true;
    }
    return false;
  }
  bool pooled() const {
    return std::any_of(d_.sites.begin(), d_.sites.end(),
                       [](const BatchSiteInfo& site) { return site.pooled; });
  }

  void choose_driver(const BlockChoice& choice);

  const BlockLayout& layout_;
  const Declaration& d_;
  BlockShape shape_;
  BlockLimits limits_;
  BlockPlan plan_;
};

/// Whether weights come from far away in every step.
bool is_far(const SharedPlan& plan) {
  return !plan.held && plan.weight_numbers_shared < plan.weight_numbers;
}

/// Microseconds for the columns that a step finds in global memory.
double Planner::far_columns() const {
  int64_t numbers = 0;
  for (size_t s = 0; s < d_.slots.size(); ++s) {
    if (may_share(s, false) && plan_.forward.slots[s] < 0) numbers += slot_numbers(s);
  }
  return static_cast<double>(numbers * shape_.number_bytes) / kFarBytesACycle / kClock;
}

/// Microseconds: a resident step costs the products' arithmetic on the blocks' multiprocessors, and
/// what of the weights has to come from the second-level cache in every step. The blocks of a
/// cluster share that, wait for each other, and do the rest over again. Rows that meet cost their
/// statistics, and their columns where those have no room.
double Planner::resident_step() const {
  const int at_once = std::max(1, limits_.multiprocessors / plan_.cluster);
  const double waves = (plan_.blocks + at_once - 1) / at_once;
  const double groups = std::max(1.0, plan_.rows / static_cast<double>(kMostRows));
  const SharedPlan& plan = plan_.forward;
  const auto far =
      static_cast<double>(is_far(plan) ? plan.weight_numbers - plan.weight_numbers_shared : 0);
  double products = 0, units = 0;
  for (size_t l = 0; l < d_.linears.size(); ++l) {
    units += d_.linears[l].rows * d_.linears[l].repeat;
    if (has_product(l, false)) ++products;
  }
  return waves *
         ((static_cast<double>(plan.weight_numbers) /
               (plan.held ? kHeldProductsACycle : kProductsACycle) +
           (plan_.cluster > 1 ? units / kUnitsACycle : 0)) *
              plan_.rows / kClock +
          far * groups * static_cast<double>(shape_.number_bytes) / kFarBytesACycle / kClock +
          (plan_.cluster > 1 ? products * kExchangeTime : 0) +
          (shape_.coupled ? far_columns() : 0) +
          (shape_.coupled ? statistics_time(d_, plan_, all_columns(false)) : 0));
}

/// Clusters are for weights that do not fit one block's shared memory.
void Planner::choose_cluster(const BlockChoice& choice) {
  lay_out(1, choice);
  const bool wanted = is_far(plan_.forward) || (shape_.keep && is_far(plan_.backward));
  BlockPlan best = plan_;
  double least = resident_step() * kWorthACluster;
  for (int cluster = 2; cluster <= std::min(limits_.max_cluster, kMostCluster); cluster *= 2) {
    const bool fits = wanted && cluster <= limits_.multiprocessors;
    if (choice.cluster > 0 ? choice.cluster != cluster : !fits) continue;
    lay_out(cluster, choice);
    if (!can_cluster()) continue;
    const double step = resident_step();
    if (choice.cluster != cluster && step >= least) continue;
    least = step;
    best = plan_;
  }
  plan_ = best;
}

/// Every block of a cluster runs the whole program on columns of its own, so whatever it writes has
/// to be in its shared memory. Every step of both directions needs a product, where the blocks
/// meet: what one of them stores, others have read.
bool Planner::can_cluster() const {
  if (pooled() || !has_all_columns()) return false;
  for (const bool backward : {false, true}) {
    if (backward && !shape_.keep) break;
    bool meets = false;
    for (size_t l = 0; l < d_.linears.size(); ++l) meets = meets || has_product(l, backward);
    if (!meets) return false;
  }
  return true;
}

/// Whether all columns of a pass that may be in shared memory are.
bool Planner::all_columns(bool backward) const {
  const SharedPlan& plan = backward ? plan_.backward : plan_.forward;
  for (size_t s = 0; s < d_.slots.size(); ++s) {
    if (plan.slots[s] < 0 && may_share(s, backward)) return false;
  }
  return true;
}

/// A batch whose rows meet goes to the fewest blocks whose shares of it have all their columns in
/// shared memory; to more, or where no number of them has room, where a step is a good part shorter
/// by the model.
void Planner::choose_shares(const BlockChoice& choice) {
  lay_out(1, choice);
  bool fits = has_all_columns();
  BlockPlan best = plan_;
  double least = resident_step();
  for (int shares = 2; shares <= std::min(limits_.max_cluster, kMostCluster); shares *= 2) {
    const bool asked = choice.cluster == shares;
    if (choice.cluster > 0 ? !asked : shares > limits_.multiprocessors) continue;
    plan_.shares = shares;
    lay_out(1, choice);
    // Without shared memory there is no place to meet.
    if (plan_.forward.numbers == 0 || plan_.backward.numbers == 0) continue;
    const double step = resident_step();
    const bool near = has_all_columns(), shorter = step < least * kWorthACluster;
    if (!asked && (fits ? !near || !shorter : !near && !shorter)) continue;
    fits = near;
    least = step;
    best = plan_;
  }
  plan_ = best;
}

/// A stepwise step costs the launches, the products over the whole batch and its statistics.
void Planner::choose_driver(const BlockChoice& choice) {
  const double resident = resident_step();
  const auto numbers = static_cast<double>(plan_.forward.weight_numbers) * plan_.cluster;
  const double launches = 2.0 * static_cast<double>(d_.linears.size()) + 1 +
                          2.0 * static_cast<double>(shape_.coupled ? d_.sites.size() : 0);
  const double whole =
      numbers * static_cast<double>(shape_.batch) / (64.0 * limits_.multiprocessors) / kClock;
  const double stepwise =
      launches * kLaunch + whole +
      (shape_.coupled ? stepwise_statistics_time(d_, shape_, limits_.multiprocessors) : 0);
  const bool takes_steps = choice.driver == BlockChoice::kModel
                               ? stepwise < resident
                               : choice.driver == BlockChoice::kStepwise;
  plan_.driver = takes_steps ? BlockDriver::kStepwise : BlockDriver::kResident;
  std::ostringstream why;
  why.precision(3);
  if (choice.driver != BlockChoice::kModel) why << "asked for; ";
  why << "a step by the model: resident " << resident << " us, stepwise " << stepwise << " us";
  plan_.why = why.str();
}

}  // namespace

BlockPlan plan_blocks(const BlockLayout& layout, const BlockShape& shape,
                      const BlockLimits& limits) {
  REQUIRE(shape.batch < std::numeric_limits<int>::max() / 2, kShape, "batch ", shape.batch,
          " is too large; at most 2^30");
  return Planner(layout, shape, limits).plan();
}

}  // namespace lookback
