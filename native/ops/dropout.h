/// Inverted dropout of one row: kept entries are scaled by 1 / (1 - rate), so inference needs no
/// correction.
#pragma once

#include <cstdint>

#include "base/portable.h"
#include "base/rng.h"

namespace lookback {

/// y_i = x_i * mask_i / (1 - rate) for elements [begin, end) of a row, `begin` a multiple of 4. y
/// may alias x. The same call on a gradient is the backward pass: the mask is drawn again, never
/// stored.
template <class S>
HD void dropout_row(PhiloxKey stream, uint32_t site, uint32_t row, double rate, int64_t begin,
                    int64_t end, const S* x, S* y) {
  const uint32_t threshold = dropout_threshold(rate);
  const S kept = static_cast<S>(1.0 / (1.0 - rate));
  for (int64_t i = begin; i < end; i += 4) {
    const PhiloxBlock bits = dropout_block(stream, site, row, static_cast<uint64_t>(i) / 4);
    const int64_t count = end - i < 4 ? end - i : 4;
    for (int64_t j = 0; j < count; ++j) {
      y[i + j] = x[i + j] * dropout_factor(bits.word[j], threshold, kept);
    }
  }
}

}  // namespace lookback
