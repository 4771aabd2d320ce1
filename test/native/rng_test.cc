#include "base/rng.h"

#include <algorithm>
#include <set>
#include <vector>

#include "native/check.h"
#include "ops/dropout.h"

namespace lookback {
namespace {

void check_block(PhiloxBlock counter, PhiloxKey key, PhiloxBlock expected) {
  const PhiloxBlock actual = philox(counter, key);
  for (int i = 0; i < 4; ++i) CHECK_EQUAL(actual.word[i], expected.word[i]);
}

/// The three philox4x32-10 lines of Random123's published known-answer file.
TEST(philox_known_answers) {
  check_block({{0, 0, 0, 0}}, {{0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  constexpr uint32_t kOnes = 0xffffffff;
  check_block({{kOnes, kOnes, kOnes, kOnes}}, {{kOnes, kOnes}},
              {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_block({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, {{0xa4093822, 0x299f31d0}},
              {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(uniforms_stay_in_range) {
  CHECK_EQUAL(uniform_float(0), 0.0f);
  CHECK_EQUAL(uniform_float(0xffffffff), 1.0f - 0x1p-24f);
  CHECK_EQUAL(uniform_double(0, 0), 0.0);
  CHECK_EQUAL(uniform_double(0xffffffff, 0xffffffff), 1.0 - 0x1p-53);
}

/// Mean and variance of n uniforms are 1/2 and 1/12 with standard errors sqrt(1/12n) and
/// sqrt(1/180n); six of them would be a miracle in a sound generator, and the numbers are fixed, so
/// this cannot flicker.
TEST(uniforms_have_the_moments_of_uniforms) {
  constexpr int kCount = 100000;
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = uniform_at(7, RandomUse::kCaller, 3, i);
    sum += u;
    squares += (u - 0.5) * (u - 0.5);
  }
  CHECK_NEAR(sum / kCount, 0.5, 6 * std::sqrt(1.0 / 12 / kCount));
  CHECK_NEAR(squares / kCount, 1.0 / 12, 6 * std::sqrt(1.0 / 180 / kCount));
}

/// A stream that two uses, seeds, streams or indices shared would make masks follow weights.
TEST(streams_do_not_meet) {
  std::set<double> seen;
  int drawn = 0;
  for (const RandomUse use : {RandomUse::kCaller, RandomUse::kInitialise}) {
    for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{1} << 40}) {
      for (const uint32_t stream : {0u, 1u}) {
        for (uint64_t i = 0; i < 50; ++i, ++drawn) seen.insert(uniform_at(seed, use, stream, i));
      }
    }
  }
  CHECK_EQUAL(static_cast<int>(seen.size()), drawn);
}

TEST(dropout_draws_each_element_by_its_place) {
  const PhiloxKey stream = dropout_stream(5, 11, 2);
  for (uint64_t index : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 35}) {
    CHECK_EQUAL(dropout_bits(stream, 1, 4, index),
                dropout_block(stream, 1, 4, index / 4).word[index % 4]);
  }
  const auto bits = [](uint64_t seed, uint64_t step, uint32_t layer, uint32_t site, uint32_t row) {
    return dropout_bits(dropout_stream(seed, step, layer), site, row, 0);
  };
  const std::set<uint32_t> seen = {bits(5, 11, 2, 1, 4), bits(6, 11, 2, 1, 4),
                                   bits(5, 12, 2, 1, 4), bits(5, 11, 3, 1, 4),
                                   bits(5, 11, 2, 2, 4), bits(5, 11, 2, 1, 5)};
  CHECK_EQUAL(seen.size(), size_t{6});
}

/// The share of dropped elements is the rate, within six standard errors of a binomial; what is
/// kept is scaled.
TEST(dropout_row_drops_the_rate_and_scales_the_rest) {
  constexpr int64_t kCount = 50000;
  const std::vector<double> ones(kCount, 1.0);
  for (const double rate : {0.1, 0.5, 0.9}) {
    std::vector<double> y(kCount);
    dropout_row(dropout_stream(1, 2, 3), 0, 0, rate, 0, kCount, ones.data(), y.data());
    const auto dropped = std::count(y.begin(), y.end(), 0.0);
    CHECK_NEAR(static_cast<double>(dropped) / kCount, rate,
               6 * std::sqrt(rate * (1 - rate) / kCount));
    for (const double value : y) CHECK(value == 0.0 || value == 1.0 / (1.0 - rate));
  }
}

/// A shorter row is the beginning of a longer one, also where its end cuts a block of four.
TEST(dropout_row_does_not_depend_on_its_length) {
  const std::vector<float> ones(23, 1.0f);
  std::vector<float> whole(23);
  const PhiloxKey stream = dropout_stream(1, 2, 3);
  dropout_row(stream, 0, 9, 0.5, 0, 23, ones.data(), whole.data());
  for (int64_t length = 0; length < 23; ++length) {
    std::vector<float> part(23, -1.0f);
    dropout_row(stream, 0, 9, 0.5, 0, length, ones.data(), part.data());
    CHECK(std::equal(part.begin(), part.begin() + length, whole.begin()));
    CHECK_EQUAL(part[static_cast<size_t>(length)], -1.0f);
  }
}

}  // namespace
}  // namespace lookback
