/// Attention over a window of random entries: its weights are a distribution, and what follows from
/// that.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "gradcheck/dual.h"
#include "math/attention.h"
#include "native/check.h"

namespace lookback {
namespace {

double uniform(uint32_t stream, int64_t i) {
  return 2 * uniform_at(23, RandomUse::kCaller, stream, static_cast<uint64_t>(i)) - 1;
}

/// One batch row whose columns are plain arrays.
template <class V>
struct PlainRow {
  V& operator()(V* column, int j) const { return column[j]; }
};

/// Keys and values of `m` entries of one head, by age.
template <class V>
struct PlainWindow {
  int size = 0;
  std::vector<V> keys, values;
  mutable std::vector<V> d_keys, d_values;

  int entry(int age) const { return age - 1; }
  V key(PlainRow<V>, int entry, int j) const { return keys[static_cast<size_t>(entry * size + j)]; }
  V value(PlainRow<V>, int entry, int j) const {
    return values[static_cast<size_t>(entry * size + j)];
  }
  void add(PlainRow<V>, int entry, int j, V dk, V dv) const {
    d_keys[static_cast<size_t>(entry * size + j)] += dk;
    d_values[static_cast<size_t>(entry * size + j)] += dv;
  }
};

template <class V>
struct Attended {
  std::vector<V> out, scores;
  V lse;
};

template <class V>
Attended<V> attend_plain(std::vector<V> query, const PlainWindow<V>& window, int m) {
  const int D = window.size;
  Attended<V> result{std::vector<V>(static_cast<size_t>(D)), std::vector<V>(static_cast<size_t>(m)),
                     V(0)};
  const AttentionHead<V> head{0, D, m, 0, V(1) / sqrt(V(D))};
  attend(
      PlainRow<V>(), head, query.data(), window, [](auto, int) { return V(1); },
      result.scores.data(), result.out.data(), &result.lse, 0);
  return result;
}

PlainWindow<double> random_window(uint32_t seed, int m, int size) {
  PlainWindow<double> window;
  window.size = size;
  for (int64_t i = 0; i < int64_t{m} * size; ++i) {
    window.keys.push_back(3 * uniform(seed, 2 * i));
    window.values.push_back(uniform(seed, 2 * i + 1));
  }
  return window;
}

std::vector<double> random_query(uint32_t seed, int size) {
  std::vector<double> query;
  for (int j = 0; j < size; ++j) query.push_back(3 * uniform(seed + 1000, j));
  return query;
}

template <class F>
void for_windows(const F& f) {
  uint32_t seed = 0;
  for (const int m : {1, 2, 3, 16, 38}) {
    for (const int size : {1, 3, 8, 9, 20}) {
      for (int i = 0; i < 5; ++i) f(++seed, m, size);
    }
  }
}

/// m + D roundings of numbers up to 1 reach each sum; 64 is more than m + D of any window here.
constexpr double kBound = 64 * std::numeric_limits<double>::epsilon();

TEST(attention_weights_sum_to_one) {
  for_windows([](uint32_t seed, int m, int size) {
    PlainWindow<double> window = random_window(seed, m, size);
    std::fill(window.values.begin(), window.values.end(), 1.0);
    for (const double out : attend_plain(random_query(seed, size), window, m).out) {
      CHECK_NEAR(out, 1, kBound);
    }
  });
}

TEST(attention_stays_within_its_values) {
  for_windows([](uint32_t seed, int m, int size) {
    const PlainWindow<double> window = random_window(seed, m, size);
    const Attended<double> result = attend_plain(random_query(seed, size), window, m);
    for (int j = 0; j < size; ++j) {
      double low = 2, high = -2;
      for (int a = 0; a < m; ++a) {
        low = std::min(low, window.value({}, a, j));
        high = std::max(high, window.value({}, a, j));
      }
      CHECK(result.out[static_cast<size_t>(j)] >= low - kBound);
      CHECK(result.out[static_cast<size_t>(j)] <= high + kBound);
    }
  });
}

TEST(attention_to_a_single_entry_is_its_value) {
  for (const int size : {1, 8, 13}) {
    const PlainWindow<double> window = random_window(3, 1, size);
    const Attended<double> result = attend_plain(random_query(3, size), window, 1);
    CHECK(result.out == window.values);
  }
}

/// The log-sum-exp gives back the weights, as the backward pass needs them.
TEST(attention_weights_come_back_from_their_log_sum_exp) {
  for_windows([](uint32_t seed, int m, int size) {
    const PlainWindow<double> window = random_window(seed, m, size);
    const std::vector<double> query = random_query(seed, size);
    const double lse = attend_plain(query, window, m).lse;
    double sum = 0;
    for (int a = 0; a < m; ++a) {
      double score = 0;
      for (int j = 0; j < size; ++j) score += query[static_cast<size_t>(j)] * window.key({}, a, j);
      sum += std::exp(score / std::sqrt(size) - lse);
    }
    // Scores reach 9 sqrt(20) = 40, and their roundings are those of the exponents.
    CHECK_NEAR(sum, 1, 40 * kBound);
  });
}

/// Also where all of them are far below zero, as of a model that is about to diverge.
TEST(attention_survives_huge_scores) {
  for (const double scale : {1e200, -1e200}) {
    PlainWindow<double> window = random_window(9, 4, 3);
    for (double& key : window.keys) key = scale * (1 + uniform(9, 77));
    const Attended<double> result = attend_plain(std::vector<double>(3, 1.0), window, 4);
    for (const double out : result.out) CHECK(out >= -1 && out <= 1);
  }
}

/// Both halves of backward against attend on dual numbers, one number of the query or an entry at a
/// time.
TEST(attention_backward_is_the_derivative) {
  for (const int m : {1, 2, 7}) {
    for (const int size : {1, 8, 11}) {
      const auto seed = static_cast<uint32_t>(100 * m + size);
      PlainWindow<double> window = random_window(seed, m, size);
      std::vector<double> query = random_query(seed, size), d_out, dq(query.size());
      for (int j = 0; j < size; ++j) d_out.push_back(uniform(seed, 5000 + j));
      window.d_keys.assign(window.keys.size(), 0);
      window.d_values.assign(window.values.size(), 0);
      Attended<double> result = attend_plain(query, window, m);
      std::vector<double> d_scores(static_cast<size_t>(m));
      const AttentionHead<double> head{0, size, m, 0, 1 / std::sqrt(double(size))};
      score_backward(
          PlainRow<double>(), head, query.data(), window, [](auto, int) { return 1.0; },
          &result.lse, 0, d_out.data(), result.scores.data(), d_scores.data());
      entries_backward(PlainRow<double>(), head, query.data(), window, d_out.data(),
                       result.scores.data(), d_scores.data(), dq.data());
      const auto derivative = [&](int which, size_t i) {
        PlainWindow<Dual> moved{size, {}, {}, {}, {}};
        std::vector<Dual> moved_query;
        for (const double key : window.keys) moved.keys.push_back(Dual(key));
        for (const double value : window.values) moved.values.push_back(Dual(value));
        for (const double number : query) moved_query.push_back(Dual(number));
        (which == 0 ? moved_query : which == 1 ? moved.keys : moved.values)[i].d = 1;
        const Attended<Dual> out = attend_plain(moved_query, moved, m);
        double sum = 0;
        for (size_t j = 0; j < d_out.size(); ++j) sum += d_out[j] * out.out[j].d;
        return sum;
      };
      // Some hundred roundings of numbers up to 3.
      constexpr double kDerivative = 1e-13;
      for (size_t i = 0; i < query.size(); ++i) CHECK_NEAR(dq[i], derivative(0, i), kDerivative);
      for (size_t i = 0; i < window.keys.size(); ++i) {
        CHECK_NEAR(window.d_keys[i], derivative(1, i), kDerivative);
        CHECK_NEAR(window.d_values[i], derivative(2, i), kDerivative);
      }
    }
  }
}

}  // namespace
}  // namespace lookback
