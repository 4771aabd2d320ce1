/// The one source of randomness: Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror,
/// Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of
/// (seed, where it is used), so it is the same on every device and for every thread count, and
/// nothing but counters needs saving to continue a run.
#pragma once

#include <cstdint>

#include "base/portable.h"

namespace lookback {

/// Four 32-bit words: a counter on the way in, random bits on the way out.
struct PhiloxBlock {
  uint32_t word[4];
};

/// 64 bits of key in two words.
struct PhiloxKey {
  uint32_t word[2];
};

HD PhiloxKey philox_key(uint64_t seed) {
  return {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}};
}

/// One block of 128 random bits for a counter. Constants and round count are those of the published
/// generator; `rng_test.cc` holds its known answers.
HD PhiloxBlock philox(PhiloxBlock counter, PhiloxKey key) {
  constexpr uint64_t kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = kMul0 * counter.word[0];
    const uint64_t p1 = kMul1 * counter.word[2];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key.word[0],
                static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key.word[1],
                static_cast<uint32_t>(p0)}};
    key.word[0] += kWeyl0;
    key.word[1] += kWeyl1;
  }
  return counter;
}

/// Uniform in [0, 1) with 24 bits: every value is exact in float.
HD float uniform_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// Uniform in [0, 1) with 53 bits from two words.
HD double uniform_double(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high >> 5) << 26) | (low >> 6);
  return static_cast<double>(bits) * 0x1p-53;
}

/// What a number is for. The last word of the counter, so that equal indices of two purposes never
/// meet.
enum class RandomUse : uint32_t { kCaller = 0, kInitialise = 1, kDropout = 2 };

/// Number `index` of stream `stream` under `seed`, uniform in [0, 1).
HD double uniform_at(uint64_t seed, RandomUse use, uint32_t stream, uint64_t index) {
  const uint64_t block = index / 2;
  const PhiloxBlock bits =
      philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream,
               static_cast<uint32_t>(use)}},
             philox_key(seed));
  return index % 2 == 0 ? uniform_double(bits.word[0], bits.word[1])
                        : uniform_double(bits.word[2], bits.word[3]);
}

/// The masks of one layer in one training step: a key that `dropout_block` expands. Make it once
/// per layer and step.
HD PhiloxKey dropout_stream(uint64_t seed, uint64_t step, uint32_t layer) {
  const PhiloxBlock bits = philox({{static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32),
                                    layer, static_cast<uint32_t>(RandomUse::kDropout)}},
                                  philox_key(seed));
  return {{bits.word[0], bits.word[1]}};
}

/// Bits for elements 4 * block .. 4 * block + 3 of row `row` (of the batch) at mask `site` (a cell
/// numbers its own). The element index must not depend on the number of steps or rows, so that
/// padding changes nothing.
HD PhiloxBlock dropout_block(PhiloxKey stream, uint32_t site, uint32_t row, uint64_t block) {
  return philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), row, site}},
                stream);
}

/// Bits of one element; four neighbours share a block, so loops should call `dropout_block`.
HD uint32_t dropout_bits(PhiloxKey stream, uint32_t site, uint32_t row, uint64_t index) {
  return dropout_block(stream, site, row, index / 4).word[index % 4];
}

/// Elements whose bits are below this are dropped. `rate` is the probability of dropping, in [0,
/// 1).
HD uint32_t dropout_threshold(double rate) { return static_cast<uint32_t>(rate * 0x1p32); }

/// The factor of an inverted mask: 0, or 1 / (1 - rate) where the element is kept.
template <class S>
HD S dropout_factor(uint32_t bits, uint32_t threshold, S kept) {
  return bits < threshold ? S(0) : kept;
}

}  // namespace lookback
