/// The masks of dropout and zoneout, drawn in blocks of four neighbours: the same numbers whatever
/// the device, the batch, the tile and the thread.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "base/rng.h"

namespace lookback {

/// One draw for a batch row: `count` numbers from number `begin` of the row's sequence on.
struct MaskRow {
  PhiloxKey stream;
  uint32_t site, row;
  double rate;
  bool zoneout;  ///< 1 with probability `rate`, else 0; otherwise inverted dropout's factors
  int64_t begin, count;

  HD int64_t quads() const { return (begin + count + 3) / 4 - begin / 4; }
  template <class S>
  HD void draw(int64_t quad, S* out) const {
    const uint32_t threshold = dropout_threshold(rate);
    const S passed = zoneout ? S(1) : static_cast<S>(1 / (1 - rate));
    const int64_t number = begin / 4 + quad, first = 4 * number;
    const PhiloxBlock bits = dropout_block(stream, site, row, static_cast<uint64_t>(number));
    for (int i = 0; i < 4; ++i) {
      const int64_t at = first + i - begin;
      if (at < 0 || at >= count) continue;
      const S factor = dropout_factor(bits.word[i], threshold, passed);
      out[at] = zoneout ? S(1) - factor : factor;
    }
  }
};

}  // namespace lookback
