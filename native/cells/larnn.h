/// Linear attention recurrent neural network (G. Chevalier 2018, arXiv:1808.05578): an LSTM whose
/// gates also see the result of a multi-head attention over the last k cell states of the same
/// layer.
///
/// One step, one layer (all matrices [out, in]; n(.) is a normalisation site that may be off; D = H
/// / A):
///   q    = phi_q(W_q [x_t ; h_{t-1}] + b_q)
///   K_a  = n_k(phi(W_k e_a + b_k))    V_a = n_v(phi(W_v e_a + b_v))       a = 1 (newest) .. m =
///   min(n0 + t, k) e_a  = c_{t-a}, or [c_{t-a} ; pi_a], or c_{t-a} + pi_a                pi_a:
///   position code of age a r    = concat over heads of sum_a softmax_a(q.K_a / sqrt(D)) V_a a_t  =
///   n_att(phi_a(W_o r + b_o)) pre  = n_pre(W_x x_t + W_h h_{t-1} + W_a a_t + b) blocks g, f, i, o
///   g = tanh(pre_g)   f, i, o = sigma(pre_f, pre_i, pre_o)
///   c_t  = n_cell(f c_{t-1} + i g)                                        pushed into the window
///   h_t  = n_hid(o ELU(c_t)),   y_t = M h_t                               M: hidden dropout
///
/// Around it (extensions.h): dropout on x; on the h_{t-1} that gates and query see; zoneout, with
/// c~ and h~ for the above
///   c_t  = m_c c_{t-1} + (1 - m_c) c~    h_t = m_h h_{t-1} + (1 - m_h) h~     h~ made from c~
/// The window gets c_t. y_t = h_t, with hiddenDropoutScope 'output' y_t = M h_t, and h~ without M.
///
/// Saved per row and step: c, h, z (4H gates, H query), r, e, the projections (2H), log-sum-exp per
/// head: 11 H + A; with zoneout of c another H. Scores, keys, values, normalised values and f c + i
/// g are computed again.
///
/// Deviations from the paper and its program, with options for theirs: gates `all` see the
/// attention (paper: candidate only); the query and the attention's result pass an ELU; the cell is
/// trained, layers have their own weights, the norm before the gates is used. The first-step rule:
/// at the first step, unless a queue is given, all rows see the same single entry, so with batch
/// statistics the attention branch gets no gradient (in exact arithmetic it is zero; in float it
/// would be rounding noise times 1e5).
#pragma once

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "cells/larnn_window.h"
#include "cells/norm.h"
#include "math/attention.h"
#include "math/scalar.h"

namespace lookback {

template <NormKind kNorm>
struct Larnn {
  static constexpr char kKey[] = "larnn";
  static constexpr bool kLayered = true;  ///< its spec describes a stack of layers
  static constexpr int kTileVectors = 1;
  enum Gate { kG, kF, kI, kO, kGates };

  int units = 0, heads = 0;
  bool elu_query = true, elu_attention = true;
  bool linear_candidate = false;  ///< mode 'layer' with attentionTarget 'candidate': g = pre_g
  bool input_product = false, drop_state = true;
  bool keep_attention = false;  ///< the scores of every step stay on the tape, as weights

  Slot input, d_input, dy, y, h, c, z, act, dh, dc, attended, e, a, du, lse, scores, d_scores;
  Slot made;  ///< c~; without zoneout c itself
  Slot d_out, d_cell, d_attention, d_attended, d_query;
  Linear query_and_gates, attention_gates, attention_out;
  LarnnWindow<kNorm> window;
  NormSite<kNorm> norm_attention, norm_gates, norm_cell, norm_hidden;
  int hidden_mask = 0, attention_mask = 0;
  RecurrentInput recurrent;
  Zoneout zone_h, zone_c;

  static bool accepts(const Spec& spec);
  static Larnn declare(const Spec& spec, Declaration& d);

  /// Projects an initial state (steps before the first).
  template <class X>
  HD void begin(X& x) const {
    window.push(x);
  }

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    x.linear(query_and_gates);
    activate_query(x);
    const int m = window.seen(x);
    window.make(x, m);
    window.measure(x, m);
    attend_window(x, m);
    x.linear(attention_out);
    finish_attention(x);
    x.linear(attention_gates);
    update_state(x);
    window.push(x);
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    const int m = window.seen(x);
    window.retire(x);
    window.restore(x, m);
    state_backward(x);
    x.adjoint(attention_gates);
    if (attention_backward(x)) {
      x.adjoint(attention_out);
      window_backward(x, m);
    } else {
      window.skip_backward(x);
    }
    x.adjoint(query_and_gates);
    recurrent.backward(x);
  }

  /// The gradient of an initial state: what came through the forget path is there, its projection's
  /// is added.
  template <class X>
  HD void finish(X& x) const {
    window.retire(x);
  }

 private:
  HD int gate_begin() const { return units; }  ///< in z: the query comes first

  template <class X>
  HD void activate_query(X& x) const {
    if (!elu_query) return;
    const auto z_ = x.at(z);
    x.each(units, [=](auto r, int j) { r(z_, j) = elu(r(z_, j)); });
  }

  template <class X>
  HD AttentionHead<typename X::Number> head_of(int head, int m) const {
    using V = typename X::Number;
    const int D = units / heads;
    const int kept = keep_attention ? window.length : 0;
    return {head * D, D, m, head * window.length, V(1) / sqrt(V(D)), kept};
  }

  template <class X>
  HD void attend_window(X& x, int m) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), out = x.at(attended), lse_ = x.at(lse), scores_ = x.at(scores);
    const bool masked = x.given(attention_mask);
    const auto mask_ = x.at(x.sequence_slot(attention_mask));
    const auto w = window.view(x);
    x.rows(heads, [=, this](auto r, int head) {
      const auto mask = [=](auto row, int i) { return masked ? row(mask_, i) : V(1); };
      attend(r, head_of<X>(head, m), z_, w, mask, scores_, out, lse_, head);
    });
  }

  template <class X>
  HD void finish_attention(X& x) const {
    const auto e_ = x.at(e), a_ = x.at(a);
    const bool bent = elu_attention;
    if (bent) x.each(units, [=](auto r, int j) { r(e_, j) = elu(r(e_, j)); });
    if (!norm_attention.on) return;
    norm_attention.measure(x, [=](auto r, int j) { return r(e_, j); });
    const auto norm = norm_attention.reader(x);
    x.each(units, [=](auto r, int j) { r(a_, j) = norm(r, j, r(e_, j)); });
  }

  /// Gates from z (or, with a norm before them, from its normalised form) into `act`.
  template <class X>
  HD void activate_gates(X& x) const {
    using V = typename X::Number;
    const int H = units, from = gate_begin(), to = act_begin();
    const int skip = linear_candidate ? units : 0;  // the norm then covers f, i, o only
    const bool linear = linear_candidate;
    const auto z_ = x.at(z), act_ = x.at(act);
    const auto norm = norm_gates.reader(x);
    x.each(H, [=](auto r, int j) {
      const V g = r(z_, from + j);
      r(act_, to + j) = linear ? g : tanh(norm(r, j, g));
      for (int gate = kF; gate <= kO; ++gate) {
        const int i = gate * H + j;
        r(act_, to + i) = sigmoid(norm(r, i - skip, r(z_, from + i)));
      }
    });
  }
  /// Without a norm the gates replace z; with one z keeps what the norm has to see again.
  HD int act_begin() const { return norm_gates.on ? 0 : gate_begin(); }

  template <class X>
  HD void update_state(X& x) const {
    using V = typename X::Number;
    const int H = units, at_z = gate_begin() + (linear_candidate ? units : 0), to = act_begin();
    const bool product = input_product;
    const auto z_ = x.at(z), act_ = x.at(act), c_ = x.at(made), c_prev = x.at(c, -1), h_ = x.at(h),
               y_ = x.at(y);
    const auto x_ = x.at(input);
    norm_gates.measure(x, [=](auto r, int j) { return r(z_, at_z + j); });
    activate_gates(x);
    x.each(H, [=](auto r, int j) {
      V write = r(act_, to + kI * H + j) * r(act_, to + kG * H + j);
      if (product) write *= r(x_, j);
      r(c_, j) = fma(r(act_, to + kF * H + j), r(c_prev, j), write);
    });
    norm_cell.measure(x, [=](auto r, int j) { return r(c_, j); });
    const auto cell_norm = norm_cell.reader(x);
    x.each(H, [=](auto r, int j) {
      const V cell = cell_norm(r, j, r(c_, j));
      r(c_, j) = cell;
      r(h_, j) = r(act_, to + kO * H + j) * elu(cell);
    });
    norm_hidden.measure(x, [=](auto r, int j) { return r(h_, j); });
    const auto hidden_norm = norm_hidden.reader(x);
    const bool masked = x.given(hidden_mask), drop = drop_state;
    const auto mask = x.at(x.sequence_slot(hidden_mask));
    x.each(H, [=](auto r, int j) {
      const V hidden = hidden_norm(r, j, r(h_, j));
      const V dropped = masked ? hidden * r(mask, j) : hidden;
      r(h_, j) = drop ? dropped : hidden;
      r(y_, j) = dropped;
    });
    zone_c.mix(x, c, made);
    if (!zone_h.on) return;
    zone_h.mix(x, h, h);
    if (!drop)
      x.each(H, [=](auto r, int j) { r(y_, j) = masked ? r(h_, j) * r(mask, j) : V(r(h_, j)); });
  }

  /// From the gradients of y, h and c to those of z's gates and of c_{t-1}.
  template <class X>
  HD void state_backward(X& x) const {
    using V = typename X::Number;
    const int H = units, to = act_begin();
    const bool product = input_product, linear = linear_candidate;
    const auto act_ = x.at(act), c_ = x.at(made), c_prev = x.at(c, -1), x_ = x.at(input),
               dx_ = x.at(d_input);
    const auto dc_ = x.at(dc), dc_prev = x.at(dc, -1), d_out_ = x.at(d_out), d_cell_ = x.at(d_cell);
    if (norm_gates.on) activate_gates(x);
    zone_c.share(x, dc, dc);
    output_gradient(x);
    const auto hidden_norm = norm_hidden.reader(x);
    norm_hidden.adjoint(x, d_out_, 0, [=](auto r, int j) {
      return hidden_norm.hat(r, j, r(act_, to + kO * H + j) * elu(r(c_, j)));
    });
    x.each(H, [=](auto r, int j) {
      const V d = r(d_out_, j) * r(act_, to + kO * H + j);
      r(d_cell_, j) = fma(d, d_elu(elu(r(c_, j))), r(dc_, j));
    });
    const auto cell_norm = norm_cell.reader(x);
    norm_cell.adjoint(x, d_cell_, 0, [=](auto r, int j) {
      V write = r(act_, to + kI * H + j) * r(act_, to + kG * H + j);
      if (product) write *= r(x_, j);
      return cell_norm.hat(r, j, fma(r(act_, to + kF * H + j), r(c_prev, j), write));
    });
    x.each(H, [=](auto r, int j) {
      const V g = r(act_, to + kG * H + j), f = r(act_, to + kF * H + j);
      const V i = r(act_, to + kI * H + j), o = r(act_, to + kO * H + j);
      const V d = r(d_cell_, j), d_write = product ? d * r(x_, j) : d;
      r(act_, to + kG * H + j) = linear ? d_write * i : d_write * i * d_tanh(g);
      r(act_, to + kF * H + j) = d * r(c_prev, j) * d_sigmoid(f);
      r(act_, to + kI * H + j) = d_write * g * d_sigmoid(i);
      r(act_, to + kO * H + j) = r(d_out_, j) * elu(r(c_, j)) * d_sigmoid(o);
      r(dc_prev, j) += d * f;
      if (product) r(dx_, j) = d * i * g;
    });
    if (norm_gates.on) gates_norm_backward(x);
  }

  /// The gradient of n_hid's result: hidden dropout is on the output, or on output and recurrence.
  template <class X>
  HD void output_gradient(X& x) const {
    using V = typename X::Number;
    const bool masked = x.given(hidden_mask), drop = drop_state, zoned = zone_h.on;
    const auto mask = x.at(x.sequence_slot(hidden_mask)), dy_ = x.at(dy), dh_ = x.at(dh),
               d_out_ = x.at(d_out);
    x.each(units, [=](auto r, int j) {
      const V kept = masked ? r(mask, j) : V(1);
      r(d_out_, j) = drop && !zoned ? kept * (r(dy_, j) + r(dh_, j))
                                    : fma(drop ? V(1) : kept, r(dy_, j), r(dh_, j));
    });
    if (!zoned) return;
    zone_h.share(x, d_out, dh);
    if (drop && masked) x.each(units, [=](auto r, int j) { r(d_out_, j) *= r(mask, j); });
  }

  template <class X>
  HD void gates_norm_backward(X& x) const {
    const int from = gate_begin(), skip = linear_candidate ? units : 0;
    const auto z_ = x.at(z), act_ = x.at(act);
    const auto norm = norm_gates.reader(x);
    norm_gates.adjoint(x, act_, skip,
                       [=](auto r, int j) { return norm.hat(r, j, r(z_, from + skip + j)); });
    x.each(kGates * units, [=](auto r, int j) { r(z_, from + j) = r(act_, j); });
  }

  /// From the gradient of a_t to that of W_o r + b_o. False where the first-step rule ends the
  /// branch.
  template <class X>
  HD bool attention_backward(X& x) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), e_ = x.at(e), a_ = x.at(a), du_ = x.at(du), d_ = x.at(d_attention);
    const bool bent = elu_attention, first = first_step(x);
    const auto norm = norm_attention.reader(x);
    if (norm_attention.on) x.each(units, [=](auto r, int j) { r(a_, j) = norm(r, j, r(e_, j)); });
    if (first && norm_attention.on) {
      const auto sum_beta = x.at(norm_attention.d_beta);
      x.each(units, [=](auto r, int j) {
        r(sum_beta, j) += r(d_, j);
        r(du_, j) = V(0);
        r(z_, j) = V(0);
      });
      return false;
    }
    norm_attention.adjoint(x, d_, 0, [=](auto r, int j) { return norm.hat(r, j, r(e_, j)); });
    x.each(units, [=](auto r, int j) {
      const V d = r(d_, j);
      r(du_, j) = bent ? d * d_elu(r(e_, j)) : d;
    });
    if (!first || !window.norm_key.on) return true;
    // The only entry has weight 1: dV = dr, and beyond the norm's beta nothing is left of it.
    x.adjoint(attention_out);
    const auto dr = x.at(d_attended), sum_beta = x.at(window.norm_value.d_beta);
    x.each(units, [=](auto r, int j) {
      r(sum_beta, j) += r(dr, j);
      r(z_, j) = V(0);
    });
    return false;
  }
  template <class X>
  HD bool first_step(const X& x) const {
    return kNorm == NormKind::kBatch && x.training() && x.time() == 0 && x.default_start() &&
           !x.given(attention_mask) && !x.given(window.entry_mask);
  }

  template <class X>
  HD void window_backward(X& x, int m) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), dq = x.at(d_query);
    const bool bent = elu_query;
    const auto w = window.view(x);
    if (w.normalised) {
      const auto gradient = gradient_of(x);
      weigh_window(x, w, m, gradient);
      window.backward(x, w, m, gradient);
    } else {
      spread_window(x, w, m);
      window.backward(x, w, m, {});
    }
    x.each(units, [=](auto r, int j) {
      const V d = r(dq, j);
      r(z_, j) = bent ? d * d_elu(r(z_, j)) : d;
    });
  }

  template <class X>
  HD typename LarnnWindow<kNorm>::template Gradient<X> gradient_of(const X& x) const {
    return {heads,         x.at(d_scores),         x.at(scores),     x.at(z), x.at(d_attended),
            x.at(d_query), x.at(window.value_sum), x.at(window.kept)};
  }

  /// The gradients of bare entries and of the query.
  template <class X, class View>
  HD void spread_window(X& x, const View& w, int m) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), lse_ = x.at(lse), scores_ = x.at(scores), d_scores_ = x.at(d_scores);
    const auto dr = x.at(d_attended), dq = x.at(d_query);
    const bool masked = x.given(attention_mask);
    const auto mask_ = x.at(x.sequence_slot(attention_mask));
    x.rows(heads, [=, this](auto r, int index) {
      const auto mask = [=](auto row, int i) { return masked ? row(mask_, i) : V(1); };
      const auto head = head_of<X>(index, m);
      score_backward(r, head, z_, w, mask, lse_, index, dr, scores_, d_scores_);
      entries_backward(r, head, z_, w, dr, scores_, d_scores_, dq);
    });
  }

  /// What the norms' backward pass needs of normalised entries.
  template <class X, class View>
  HD void weigh_window(X& x, const View& w, int m,
                       const typename LarnnWindow<kNorm>::template Gradient<X>& g) const {
    using V = typename X::Number;
    const auto lse_ = x.at(lse);
    const bool masked = x.given(attention_mask);
    const auto mask_ = x.at(x.sequence_slot(attention_mask));
    const int H = units;
    x.rows(heads, [=, this](auto r, int index) {
      const auto mask = [=](auto row, int i) { return masked ? row(mask_, i) : V(1); };
      const auto head = head_of<X>(index, m);
      score_backward(r, head, g.query, w, mask, lse_, index, g.d_attended, g.scores, g.d_scores);
      weighted_sum(
          r, head, w, g.d_scores, [=](auto row, auto entry, int j) { return w.hat(row, entry, j); },
          [=](auto row, int j, V sum) { row(g.key_sum, j) = sum; });
      weighted_sum(
          r, head, w, g.scores,
          [=](auto row, auto entry, int j) { return w.hat(row, entry, H + j); },
          [=](auto row, int j, V sum) { row(g.value_sum, j) = sum; });
      V kept(0);
      for (int i = head.score; i < head.score + m; ++i) kept += r(g.scores, i);
      r(g.kept, index) = kept;
    });
  }
};

}  // namespace lookback

#include "cells/larnn_declare.h"
