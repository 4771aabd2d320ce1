#include "backend/cpu/plan.h"

#include <algorithm>
#include <limits>

#include "backend/block_stride.h"
#include "backend/cpu/cancel.h"
#include "base/error.h"
#include "math/scalar.h"

namespace lookback {

template <class S>
AlignedArray<S>::AlignedArray(int64_t count) : count_(count) {
  const int64_t bytes = checked_mul(count, sizeof(S), "activations");
  claim_ = MemoryClaim(bytes, "activations");
  data_.reset(static_cast<S*>(allocate(bytes, true, "activations")));
}

template <class S>
void AlignedArray<S>::Free::operator()(S* block) const {
  release(block);
}

int64_t gradient_units(const LinearInfo& info) {
  int64_t units = info.biases.empty() ? 0 : 1;
  for (const LinearSource& source : info.sources)
    units += (source.units > 0 ? source.units : source.value.size) / info.repeat;
  return units;
}

namespace {

/// The Linears with a slot that is `remade`, where keeping few steps of it saves more memory than
/// twice what the gradients of every tile take.
std::vector<int> recent_linears(const Declaration& d, int64_t steps, int tile_rows) {
  std::vector<int> found;
  int64_t saved = 0, cost = 0;
  const auto remade = [&](Slot slot) { return d.slots[static_cast<size_t>(slot.id)].remade; };
  for (const SlotInfo& slot : d.slots)
    if (slot.remade) saved += (steps - kRecentSteps) * slot.size * tile_rows;
  for (size_t i = 0; i < d.linears.size(); ++i) {
    const LinearInfo& info = d.linears[i];
    bool reads = remade(info.d_out);
    for (const LinearSource& source : info.sources) reads = reads || remade(source.value);
    if (!reads) continue;
    found.push_back(static_cast<int>(i));
    cost += gradient_units(info) * info.rows;
  }
  return saved > 2 * cost ? found : std::vector<int>();
}

}  // namespace

StoragePlan plan_storage(const Declaration& d, int64_t batch, int64_t steps, bool keep,
                         int tile_rows, int entries) {
  StoragePlan plan;
  REQUIRE(batch <= std::numeric_limits<int>::max() && steps < std::numeric_limits<int>::max() / 2,
          kShape, "batch ", batch, " or steps ", steps, " is too large; at most 2^30");
  if (keep && tile_rows > 1) plan.recent = recent_linears(d, steps, tile_rows);
  int64_t offset = 0;
  for (const SlotInfo& slot : d.slots) {
    SlotPlace place;
    place.offset = offset;
    place.size = slot.size;
    const bool kept = slot.life == Life::kTape && keep;
    place.history = kept ? std::min(slot.history, entries) : slot.history;
    place.carry = slot.life == Life::kCarry;
    const bool before_first = slot.life == Life::kPast || slot.life == Life::kPastGradient;
    const bool few = slot.remade && !plan.recent.empty();
    const int64_t length = few ? std::min<int64_t>(steps, kRecentSteps) : steps;
    const int64_t depth = place.history + (before_first ? 0 : kept ? length : 1);
    place.depth = static_cast<int32_t>(depth);
    place.reciprocal = depth > 1 ? ~uint64_t{0} / static_cast<uint64_t>(depth) + 1 : 0;
    const bool total = slot.life == Life::kTotal;
    const int64_t column = tile_rows > 1 && !total ? slot.size : row_column(slot.size);
    const int64_t numbers = checked_mul(checked_mul(depth, column, "activations"),
                                        total ? 1 : tile_rows, "activations");
    offset = checked_add(offset, numbers, "activations");
    plan.slots.push_back(place);
  }
  plan.tile_stride = offset;
  plan.tiles = static_cast<int>((batch + tile_rows - 1) / tile_rows);
  return plan;
}

template <class S>
PackedWeights<S>::PackedWeights(const Declaration& d, std::vector<int> blocks)
    : d_(d), blocks_(std::move(blocks)) {
  for (const LinearInfo& info : d.linears) {
    PackedLinear<S> p;
    REQUIRE(info.sources.size() <= kMaxSources, kInternal, "a Linear has ", info.sources.size(),
            " sources");
    p.out = info.out.id;
    p.out_begin = info.out_begin;
    p.rows = info.rows;
    p.d_out = info.d_out.id;
    p.d_out_begin = info.d_out_begin;
    p.accumulate = info.accumulate;
    p.repeat = info.repeat;
    p.sources = static_cast<int>(info.sources.size());
    int64_t depth = 0;
    std::vector<AlignedArray<S>> adjoints;
    for (size_t i = 0; i < info.sources.size(); ++i) {
      const LinearSource& source = info.sources[i];
      const int size = (source.units > 0 ? source.units : source.value.size) / info.repeat;
      p.source[i] = {source.value.id,    source.dt,         size,
                     source.gradient.id, source.accumulate, source.begin};
      const int block = best_block(size);
      p.adjoint[i] = {nullptr, nullptr, size, block};
      adjoints.emplace_back(int64_t{(size + block - 1) / block * block} * info.rows +
                            kPackedOverrun);
      depth += size;
    }
    const int block = best_block(info.rows);
    forward_.emplace_back((info.rows + block - 1) / block * block * depth + kPackedOverrun);
    bias_.emplace_back(info.rows);
    p.forward = {forward_.back().data(), info.biases.empty() ? nullptr : bias_.back().data(),
                 info.rows, block};
    adjoint_.push_back(std::move(adjoints));
    depth_.push_back(depth);
    linears_.push_back(p);
  }
}

/// Padding a block wastes its share of the work. A smaller block has fewer sums, two an output (its
/// two vectors of rows): below eight the multipliers wait for them, above that it only loads the
/// rows more often, some 3 % of the time at eight.
template <class S>
int PackedWeights<S>::best_block(int rows) const {
  int best = blocks_.back();
  double best_cost = 1e300;
  for (const int block : blocks_) {
    const double padded = (rows + block - 1) / block * block;
    const double sums = 2.0 * block;
    const double cost = padded * std::max(1.0, 8 / sums) * (1 + 0.3 / sums);
    if (cost < best_cost) {
      best_cost = cost;
      best = block;
    }
  }
  return best;
}

template <class S>
void PackedWeights<S>::pack(const std::vector<const S*>& weights, const CpuRuntime& runtime) {
  for (size_t i = 0; i < linears_.size(); ++i) pack_forward(i, weights, runtime);
}

template <class S>
void PackedWeights<S>::pack_adjoints(const std::vector<const S*>& weights, bool with_dx,
                                     const CpuRuntime& runtime) {
  for (size_t i = 0; i < linears_.size(); ++i) {
    for (size_t source = 0; source < d_.linears[i].sources.size(); ++source) {
      const int gradient = d_.linears[i].sources[source].gradient.id;
      const bool wanted = gradient >= 0 && (with_dx || gradient != d_.dx.id);
      if (wanted) pack_adjoint(i, source, weights, runtime);
      linears_[i].adjoint[source].data = wanted ? adjoint_[i][source].data() : nullptr;
    }
  }
}

template <class S>
void PackedWeights<S>::pack_forward(size_t i, const std::vector<const S*>& weights,
                                    const CpuRuntime& runtime) {
  const LinearInfo& info = d_.linears[i];
  const int block = linears_[i].forward.block;
  const int64_t depth = depth_[i];
  S* packed = forward_[i].data();
  for (const LinearBlock& b : info.blocks) {
    int64_t k0 = b.source_col;
    for (int s = 0; s < b.source; ++s) k0 += linears_[i].source[s].size;
    const BlockStride stride = stride_of(d_, b);
    const S* const weight = weights[d_.place_of(b.param)] + stride.begin;
    const S scale = static_cast<S>(b.scale);
    for (int row = 0; row < b.rows; ++row) {
      require_running(runtime);
      const int o = b.out_row + row;
      const S* from = weight + row * stride.row;
      S* to = packed + (o / block) * depth * block + k0 * block + o % block;
      for (int k = 0; k < b.cols; ++k) to[int64_t{k} * block] = scale * from[k * stride.column];
    }
  }
  S* bias = bias_[i].data();
  for (int64_t o = 0; o < bias_[i].size(); ++o) bias[o] = S(0);
  for (const BiasBlock& b : info.biases) {
    const S* from = weights[d_.place_of(b.param)] + b.param_row;
    for (int row = 0; row < b.rows; ++row) bias[b.out_row + row] += from[row];
  }
}

template <class S>
void PackedWeights<S>::pack_adjoint(size_t i, size_t source, const std::vector<const S*>& weights,
                                    const CpuRuntime& runtime) {
  const LinearInfo& info = d_.linears[i];
  const int block = linears_[i].adjoint[source].block;
  S* packed = adjoint_[i][source].data();
  for (const LinearBlock& b : info.blocks) {
    if (b.source != static_cast<int>(source)) continue;
    const BlockStride stride = stride_of(d_, b);
    const S* const weight = weights[d_.place_of(b.param)] + stride.begin;
    const S scale = static_cast<S>(b.scale);
    for (int row = 0; row < b.rows; ++row) {
      require_running(runtime);
      const S* from = weight + row * stride.row;
      for (int k = 0; k < b.cols; ++k) {
        const int unit = b.source_col + k;
        packed[(int64_t{unit / block} * info.rows + b.out_row + row) * block + unit % block] =
            scale * from[k * stride.column];
      }
    }
  }
}

template <class S>
void PackedWeights<S>::scatter(int i, const S* dW, const std::vector<S*>& d_weights,
                               const CpuRuntime& runtime) const {
  // Units at a time, so that a cache line of the gradient is whole before it leaves the cache.
  constexpr int kUnits = 16;
  const LinearInfo& info = d_.linears[static_cast<size_t>(i)];
  const int64_t depth = depth_[static_cast<size_t>(i)], rows = info.rows;
  for (const LinearBlock& b : info.blocks) {
    S* to = d_weights[d_.place_of(b.param)];
    if (to == nullptr) continue;
    int64_t k0 = b.source_col;
    for (int s = 0; s < b.source; ++s) k0 += linears_[static_cast<size_t>(i)].source[s].size;
    const BlockStride stride = stride_of(d_, b);
    const S scale = static_cast<S>(b.scale);
    for (int begin = 0; begin < b.cols; begin += kUnits) {
      require_running(runtime);
      const int end = std::min(begin + kUnits, b.cols);
      for (int row = 0; row < b.rows; ++row) {
        const S* from = dW + k0 * rows + b.out_row + row;
        S* line = to + stride.begin + row * stride.row;
        for (int k = begin; k < end; ++k) line[k * stride.column] += scale * from[k * rows];
      }
    }
  }
  for (const BiasBlock& b : info.biases) {
    S* to = d_weights[d_.place_of(b.param)];
    if (to == nullptr) continue;
    for (int row = 0; row < b.rows; ++row)
      to[b.param_row + row] += dW[depth * rows + b.out_row + row];
  }
}

template <class S>
VectorSet<S>::VectorSet(const Declaration& d) : d_(d), numbers_(d.vectors.size()) {
  for (size_t v = 0; v < d.vectors.size(); ++v) {
    for (const double value : d.vectors[v].constants) numbers_[v].push_back(static_cast<S>(value));
    if (d.vectors[v].param >= 0) numbers_[v].resize(static_cast<size_t>(d.vectors[v].size));
  }
  for (const TableInfo& table : d.tables) {
    const int numbers = table.entries * table.width;
    numbers_[static_cast<size_t>(table.vector.id)].resize(
        static_cast<size_t>(table.exponentials ? 2 * numbers + 1 : numbers));
  }
  for (std::vector<S>& numbers : numbers_) {
    numbers.resize(numbers.size() + kPackedOverrun);
    pointers_.push_back(numbers.data());
  }
}

/// What tables are summed in: double, also for float.
template <class S>
using Wide = decltype(S() * 1.0);

template <class S>
void append_exponentials(S* table, int count) {
  bool small = true;
  for (int i = 0; i < count; ++i) {
    table[count + i] = exp(table[i]);
    small = small && !(table[i] > S(70)) && !(-table[i] > S(70));
  }
  table[2 * count] = S(small ? 1 : 0);
}

template <class S>
void VectorSet<S>::prepare(const std::vector<const S*>& weights) {
  for (size_t v = 0; v < d_.vectors.size(); ++v) {
    const int param = d_.vectors[v].param;
    if (param >= 0)
      std::copy_n(weights[d_.place_of(param)], d_.vectors[v].size, numbers_[v].data());
  }
  for (const TableInfo& table : d_.tables) {
    S* out = numbers_[static_cast<size_t>(table.vector.id)].data();
    for (const TableBlock& b : table.blocks) {
      const S* W = weights[d_.place_of(b.param)];
      const int columns = d_.shape_of(b.param).back();
      for (int e = 0; e < table.entries; ++e) {
        const std::vector<double>& code = table.constants[static_cast<size_t>(e)];
        for (int o = 0; o < b.rows; ++o) {
          auto sum = static_cast<Wide<S>>(weights[d_.place_of(b.bias)][o]);
          for (size_t i = 0; i < code.size(); ++i) {
            sum +=
                static_cast<Wide<S>>(W[o * columns + b.param_col + static_cast<int>(i)]) * code[i];
          }
          out[e * table.width + b.out_begin + o] = static_cast<S>(sum);
        }
      }
    }
    if (table.exponentials) append_exponentials(out, table.entries * table.width);
  }
}

template <class S>
void VectorSet<S>::add_gradient(int v, const S* gradient, const std::vector<S*>& d_weights) const {
  const VectorInfo& info = d_.vectors[static_cast<size_t>(v)];
  if (info.param >= 0) {
    S* to = d_weights[d_.place_of(info.param)];
    for (int j = 0; to != nullptr && j < info.size; ++j) to[j] += gradient[j];
    return;
  }
  for (const TableInfo& table : d_.tables) {
    if (table.vector.id != v) continue;
    for (const TableBlock& b : table.blocks) {
      S* dW = d_weights[d_.place_of(b.param)];
      S* db = d_weights[d_.place_of(b.bias)];
      const int columns = d_.shape_of(b.param).back();
      for (int e = 0; e < table.entries; ++e) {
        const std::vector<double>& code = table.constants[static_cast<size_t>(e)];
        const S* from = gradient + e * table.width + b.out_begin;
        for (int o = 0; o < b.rows; ++o) {
          if (db != nullptr) db[o] += from[o];
          for (size_t i = 0; dW != nullptr && i < code.size(); ++i) {
            dW[o * columns + b.param_col + static_cast<int>(i)] +=
                from[o] * static_cast<S>(code[i]);
          }
        }
      }
    }
  }
}

template class AlignedArray<float>;
template class AlignedArray<double>;
template class PackedWeights<float>;
template class PackedWeights<double>;
template class VectorSet<float>;
template class VectorSet<double>;

}  // namespace lookback
