#include "backend/cuda/block_weights.h"

#include <algorithm>

#include "backend/block_stride.h"
#include "base/error.h"

namespace lookback {
namespace {

/// The numbers [begin, end) that a move writes, widely taken.
template <class Move>
bool overlap(const Move& a, const Move& b) {
  const auto end = [](const Move& m) {
    return m.to + (m.rows - 1) * m.to_row + (m.cols - 1) * m.to_col + 1;
  };
  return a.to < end(b) && b.to < end(a);
}

}  // namespace

template <class S>
BlockWeights<S>::BlockWeights(const BlockLayout& layout, Backend<S>& backend, CudaDevice& device)
    : layout_(layout),
      d_(layout.declaration()),
      backend_(backend),
      device_(device),
      packed_(layout.packed_numbers(), "packed weights", device),
      parts_(device),
      vectors_(d_.vectors.size(), nullptr) {
  for (const VectorInfo& vector : d_.vectors) {
    tables_.emplace_back(device);
    if (vector.constants.empty()) continue;
    const std::vector<S> numbers(vector.constants.begin(), vector.constants.end());
    const auto count = static_cast<int64_t>(numbers.size());
    tables_.back().ensure(count, "constants");
    device.copy_in(numbers.data(), count, tables_.back().data());
  }
  for (const TableInfo& table : d_.tables) {
    const int64_t numbers = int64_t{table.entries} * table.width;
    tables_[static_cast<size_t>(table.vector.id)].ensure(
        table.exponentials ? 2 * numbers + 1 : numbers, "a table");
    std::vector<S> codes;
    for (const std::vector<double>& code : table.constants) {
      for (const double number : code) codes.push_back(static_cast<S>(number));
    }
    codes_.emplace_back(device);
    const auto count = static_cast<int64_t>(codes.size());
    codes_.back().ensure(count, "a table");
    device.copy_in(codes.data(), count, codes_.back().data());
  }
}

/// In as few launches as there are moves that write the same place.
template <class S>
void BlockWeights<S>::launch(const std::vector<Move>& moves) {
  std::vector<std::vector<Move>> waves;
  for (const Move& move : moves) {
    if (move.rows == 0 || move.cols == 0) continue;
    const auto fits = [&move](const std::vector<Move>& wave) {
      return std::none_of(wave.begin(), wave.end(), [&move](const Move& other) {
        return move.outputs == 0 && other.outputs == 0 && overlap(move, other);
      });
    };
    // Behind the last wave that it must not share: sums keep their order.
    size_t wave = waves.size();
    while (wave > 0 && fits(waves[wave - 1])) --wave;
    if (wave == waves.size()) waves.emplace_back();
    waves[wave].push_back(move);
  }
  for (const std::vector<Move>& wave : waves) {
    for (size_t first = 0; first < wave.size(); first += MovesOp<S>::kMost) {
      MovesOp<S> op = {};
      op.count = static_cast<int32_t>(std::min<size_t>(MovesOp<S>::kMost, wave.size() - first));
      std::copy_n(wave.begin() + static_cast<ptrdiff_t>(first), op.count, op.move);
      device_.template launch<S>(op.kId, op);
    }
  }
}

template <class S>
void BlockWeights<S>::pack(const std::vector<const S*>& weights, bool quads) {
  std::vector<Move> moves;
  packed_.zero();  // what no block covers, and what lies behind the last k
  for (size_t l = 0; l < d_.linears.size(); ++l) pack_linear(l, weights, quads, moves);
  launch(moves);
}

template <class S>
void BlockWeights<S>::pack_linear(size_t l, const std::vector<const S*>& weights, bool quads,
                                  std::vector<Move>& moves) const {
  const LinearInfo& info = d_.linears[l];
  S* const packed = const_cast<S*>(packed_.data());
  for (const LinearBlock& b : info.blocks) {
    const auto source = static_cast<size_t>(b.source);
    const BlockStride stride = stride_of(d_, b);
    Move move = {};
    move.from = weights[d_.place_of(b.param)] + stride.begin;
    move.from_row = stride.row;
    move.from_col = stride.column;
    move.rows = b.rows;
    move.cols = b.cols;
    move.scale = static_cast<S>(b.scale);
    const int64_t size = layout_.source_size(l, source);
    const bool before = layout_.input_source(l) == b.source;
    const PackedPlace& at = before ? layout_.input(l) : layout_.forward(l, source);
    if (before || !quads) {
      move.to = packed + at.offset + b.out_row * size + b.source_col;
      move.to_row = size;
      move.to_col = 1;
      moves.push_back(move);
    } else {
      move.to = packed + at.offset;
      move.outputs = info.rows;
      move.first_row = b.out_row;
      move.first_col = b.source_col;
      moves.push_back(move);
    }
    const PackedPlace& back = layout_.adjoint(l, source);
    if (!quads || back.numbers == 0) continue;
    std::swap(move.from_row, move.from_col);
    std::swap(move.rows, move.cols);
    move.to = packed + back.offset;
    move.outputs = static_cast<int32_t>(size);
    move.first_row = b.source_col;
    move.first_col = b.out_row;
    moves.push_back(move);
  }
  for (const BiasBlock& b : info.biases) {
    const S* const from = weights[d_.place_of(b.param)] + b.param_row;
    moves.push_back(added(from, packed + layout_.bias(l).offset + b.out_row, b.rows));
  }
}

template <class S>
typename BlockWeights<S>::Move BlockWeights<S>::added(const S* from, S* to, int count) {
  Move move = {};
  move.from = from;
  move.from_col = 1;
  move.to = to;
  move.to_col = 1;
  move.rows = 1;
  move.cols = count;
  move.add = true;
  move.scale = S(1);
  return move;
}

template <class S>
void BlockWeights<S>::find_vectors(const std::vector<const S*>& weights) {
  for (size_t v = 0; v < d_.vectors.size(); ++v) {
    const int param = d_.vectors[v].param;
    vectors_[v] = param >= 0 ? weights[d_.place_of(param)] : tables_[v].data();
  }
}

template <class S>
void BlockWeights<S>::fill_tables(const std::vector<const S*>& weights) {
  for (size_t t = 0; t < d_.tables.size(); ++t) {
    const TableInfo& table = d_.tables[t];
    S* const out = tables_[static_cast<size_t>(table.vector.id)].data();
    std::vector<Move> moves;
    for (const TableBlock& b : table.blocks) {
      Move move = {};
      move.from = weights[d_.place_of(b.bias)];
      move.from_col = 1;
      move.to = out + b.out_begin;
      move.to_row = table.width;
      move.to_col = 1;
      move.rows = table.entries;
      move.cols = b.rows;
      move.scale = S(1);
      moves.push_back(move);
    }
    for (const Move& move : moves) launch({move});
    for (const TableBlock& b : table.blocks) {
      Gemm<S> g;
      g.m = table.entries;
      g.n = b.rows;
      g.k = static_cast<int64_t>(table.constants.front().size());
      g.a = codes_[t].data();
      g.a_row = g.k;
      g.b = weights[d_.place_of(b.param)] + b.param_col;
      g.b_row = 1;
      g.b_col = d_.shape_of(b.param).back();
      g.beta = S(1);
      g.c = out + b.out_begin;
      g.c_row = table.width;
      backend_.gemm(g);
    }
    if (!table.exponentials) continue;
    const ExponentialsOp<S> op = {out, int64_t{table.entries} * table.width};
    device_.template launch<S>(op.kId, op);
  }
}

template <class S>
void BlockWeights<S>::scatter(size_t l, const S* dW, const S* db,
                              const std::vector<S*>& d_weights) {
  const LinearInfo& info = d_.linears[l];
  std::vector<Move> moves;
  for (const LinearBlock& b : info.blocks) {
    S* const to = d_weights[d_.place_of(b.param)];
    if (to == nullptr) continue;
    int64_t k0 = b.source_col;
    for (int s = 0; s < b.source; ++s) k0 += layout_.source_size(l, static_cast<size_t>(s));
    const BlockStride stride = stride_of(d_, b);
    Move move = {};
    move.from = dW + b.out_row * layout_.depth(l) + k0;
    move.from_row = layout_.depth(l);
    move.from_col = 1;
    move.to = to + stride.begin;
    move.to_row = stride.row;
    move.to_col = stride.column;
    move.rows = b.rows;
    move.cols = b.cols;
    move.add = true;
    move.scale = static_cast<S>(b.scale);
    moves.push_back(move);
  }
  for (const BiasBlock& b : info.biases) {
    S* const to = d_weights[d_.place_of(b.param)];
    if (to != nullptr) moves.push_back(added(db + b.out_row, to + b.param_row, b.rows));
  }
  launch(moves);
}

template <class S>
void BlockWeights<S>::add_gradient(int v, const S* gradient, const std::vector<S*>& d_weights) {
  const VectorInfo& info = d_.vectors[static_cast<size_t>(v)];
  if (info.param >= 0) {
    S* const to = d_weights[d_.place_of(info.param)];
    if (to != nullptr) backend_.add(info.size, gradient, to);
    return;
  }
  for (size_t t = 0; t < d_.tables.size(); ++t) {
    const TableInfo& table = d_.tables[t];
    if (table.vector.id != v) continue;
    for (const TableBlock& b : table.blocks) {
      S* const dW = d_weights[d_.place_of(b.param)];
      S* const db = d_weights[d_.place_of(b.bias)];
      const S* const from = gradient + b.out_begin;
      if (db != nullptr) sum_columns(from, table.entries, table.width, b.rows, db, true);
      if (dW == nullptr) continue;
      Gemm<S> g;
      g.m = b.rows;
      g.n = static_cast<int64_t>(table.constants.front().size());
      g.k = table.entries;
      g.a = from;
      g.a_row = 1;
      g.a_col = table.width;
      g.b = codes_[t].data();
      g.b_row = g.n;
      g.beta = S(1);
      g.c = dW + b.param_col;
      g.c_row = d_.shape_of(b.param).back();
      g.any_order = true;
      backend_.gemm(g);
    }
  }
}

template <class S>
void BlockWeights<S>::sum_columns(const S* from, int64_t rows, int64_t stride, int64_t cols, S* to,
                                  bool add) {
  parts_.ensure(ColumnSumsOp<S>::kSlices * cols, "sums over rows");
  ColumnSumsOp<S> op = {from, rows, stride, cols, parts_.data(), nullptr, add};
  device_.template launch<S>(op.kId, op);
  op.to = to;
  device_.template launch<S>(op.kId, op);
}

template class BlockWeights<float>;
template class BlockWeights<double>;

}  // namespace lookback
