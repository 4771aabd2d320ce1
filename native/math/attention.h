/// One query of one batch row and one head against the entries of a window: softmax(q k_a /
/// sqrt(D)) v_a.
///
/// `Window` gives the entries: `key(r, entry, j)` and `value(r, entry, j)` for unit j (of all
/// heads), and `entry(a)`, the handle of age a = 1 (newest) .. m. Scores live in a scratch slot
/// [heads][k], entry (head, a - 1).
#pragma once

#include "math/scalar.h"

namespace lookback {

/// Units that are summed side by side in registers.
constexpr int kAttentionBlock = 8;

template <class V>
struct AttentionHead {
  int begin;     ///< first unit of the head
  int size;      ///< D
  int m;         ///< entries seen
  int score;     ///< first score of the head
  V scale;       ///< 1 / sqrt(D)
  int kept = 0;  ///< scores that `attend` leaves behind as mask_a p_a, 0 for entries not seen
};

/// give(r, j, sum_a w_a numbers(r, entry, j)) for every unit j of the head, w being its scores.
template <class V, class Row, class Column, class Window, class Numbers, class Give>
HD void weighted_sum(Row r, const AttentionHead<V>& head, const Window& window, Column weights,
                     Numbers numbers, Give give) {
  for (int block = 0; block < head.size; block += kAttentionBlock) {
    const int units = head.size - block < kAttentionBlock ? head.size - block : kAttentionBlock;
    const int begin = head.begin + block;
    V sum[kAttentionBlock];
    for (int u = 0; u < kAttentionBlock; ++u) sum[u] = V(0);
    for (int a = 1; a <= head.m; ++a) {
      const auto entry = window.entry(a);
      const V weight = r(weights, head.score + a - 1);
      if (units == kAttentionBlock) {
        UNROLL(8)
        for (int u = 0; u < kAttentionBlock; ++u)
          sum[u] = fma(weight, numbers(r, entry, begin + u), sum[u]);
      } else {
        for (int u = 0; u < units; ++u) sum[u] = fma(weight, numbers(r, entry, begin + u), sum[u]);
      }
    }
    for (int u = 0; u < units; ++u) give(r, begin + u, sum[u]);
  }
}

/// p_a = softmax_a(scale q.k_a);  out = sum_a mask_a p_a v_a;  lse = log sum_a e^(scale q.k_a),
/// from which backward finds p again. `mask(r, i)` is the factor on probability i (not
/// renormalised); it is 1 without dropout. Work: 4 m D per head.
template <class V, class Row, class Column, class Window, class Mask>
HD void attend(Row r, const AttentionHead<V>& head, Column q, const Window& window, Mask mask,
               Column scores, Column out, Column lse, int lse_index) {
  V top = V(0);
  for (int a = 1; a <= head.m; ++a) {
    const auto entry = window.entry(a);
    V sum(0);
    for (int j = head.begin; j < head.begin + head.size; ++j) {
      sum = fma(r(q, j), window.key(r, entry, j), sum);
    }
    sum = sum * head.scale;
    r(scores, head.score + a - 1) = sum;
    top = a == 1 ? sum : max(top, sum);
  }
  V total(0);
  for (int i = head.score; i < head.score + head.m; ++i) {
    const V p = exp(r(scores, i) - top);
    total += p;
    r(scores, i) = p * mask(r, i);
  }
  const V inverse = V(1) / total;
  r(lse, lse_index) = top + log(total);
  weighted_sum(
      r, head, window, scores,
      [=](Row row, auto entry, int j) { return window.value(row, entry, j); },
      [=](Row row, int j, V sum) { row(out, j) = sum * inverse; });
  for (int i = 0; i < head.kept; ++i) {
    r(scores, head.score + i) = i < head.m ? r(scores, head.score + i) * inverse : V(0);
  }
}

/// From d_out (the gradient of `out`) to those of the scores, the first half of backward:
///   dp_a = mask_a (d_out . v_a)      ds_a = p_a (dp_a - sum_b p_b dp_b) scale
/// `scores` becomes mask_a p_a, `d_scores`, another scratch like it, ds_a. With a single entry the
/// softmax is constant and ds is exactly 0.
template <class V, class Row, class Column, class Window, class Mask>
HD void score_backward(Row r, const AttentionHead<V>& head, Column q, const Window& window,
                       Mask mask, Column lse, int lse_index, Column d_out, Column scores,
                       Column d_scores) {
  V dot(0);
  for (int a = 1; a <= head.m; ++a) {
    const auto entry = window.entry(a);
    V score(0), dp(0);
    for (int j = head.begin; j < head.begin + head.size; ++j) {
      score = fma(r(q, j), window.key(r, entry, j), score);
      dp = fma(r(d_out, j), window.value(r, entry, j), dp);
    }
    const int i = head.score + a - 1;
    const V p = exp(score * head.scale - r(lse, lse_index));
    const V kept = mask(r, i);
    dp = dp * kept;
    dot = fma(p, dp, dot);
    r(scores, i) = p;
    r(d_scores, i) = dp;
  }
  for (int a = 1; a <= head.m; ++a) {
    const int i = head.score + a - 1;
    const V p = r(scores, i);
    r(d_scores, i) = head.m == 1 ? V(0) : p * (r(d_scores, i) - dot) * head.scale;
    r(scores, i) = p * mask(r, i);
  }
}

/// The second half:
///   dv_a = mask_a p_a d_out      dk_a = ds_a q      dq = sum_a ds_a k_a
/// dk and dv go to `window.add(r, entry, j, dk, dv)`; dq is assigned.
template <class V, class Row, class Column, class Window>
HD void entries_backward(Row r, const AttentionHead<V>& head, Column q, const Window& window,
                         Column d_out, Column scores, Column d_scores, Column dq) {
  for (int block = 0; block < head.size; block += kAttentionBlock) {
    const int units = head.size - block < kAttentionBlock ? head.size - block : kAttentionBlock;
    V sum[kAttentionBlock], query[kAttentionBlock], d[kAttentionBlock];
    for (int u = 0; u < kAttentionBlock; ++u) {
      const int j = head.begin + block + (u < units ? u : 0);
      sum[u] = V(0);
      query[u] = r(q, j);
      d[u] = r(d_out, j);
    }
    for (int a = 1; a <= head.m; ++a) {
      const auto entry = window.entry(a);
      const V ds = r(d_scores, head.score + a - 1), p = r(scores, head.score + a - 1);
      UNROLL(8)
      for (int u = 0; u < kAttentionBlock; ++u) {
        if (u >= units) break;
        const int j = head.begin + block + u;
        sum[u] = fma(ds, window.key(r, entry, j), sum[u]);
        window.add(r, entry, j, ds * query[u], p * d[u]);
      }
    }
    for (int u = 0; u < units; ++u) r(dq, head.begin + block + u) = sum[u];
  }
}

}  // namespace lookback
