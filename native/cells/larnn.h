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
/// Each state is projected once, when it is made, not k times: W_k [c ; pi] + b = W_k^c c + (W_k^pi
/// pi + b), the second part being a table [k, 2H] by age. Only dropout on the window's inputs
/// forces the full product for every age.
///
/// Saved per row and step: c, h, z (4H gates, H query), r, e, a, the projections (2H), log-sum-exp
/// per head: 12 H + A. Scores, keys, values, normalised values and f c + i g are computed again.
///
/// Deviations from the paper and its program, with options for theirs: gates `all` see the
/// attention (paper: candidate only); the query and the attention's result pass an ELU; the cell is
/// trained, layers have their own weights, the norm before the gates is used. The first-step rule:
/// at the first step of a default start all rows see the same single zero entry, so with batch
/// statistics the attention branch gets no gradient (in exact arithmetic it is zero; in float it
/// would be rounding noise times 1e5).
#pragma once

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/norm.h"
#include "math/attention.h"
#include "math/scalar.h"

namespace lookback {

template <NormKind kNorm>
struct Larnn {
  static constexpr char kKey[] = "larnn";
  static constexpr bool kLayered = true;  ///< its spec describes a stack of layers
  enum Gate { kG, kF, kI, kO, kGates };
  /// Where the entries of the window come from at a step.
  enum class Entries {
    kProjected,    ///< phi(W c + b), final since the state was made
    kTabled,       ///< phi(W c + table[age])
    kReprojected,  ///< phi(W (mask [c ; pi]) + b), a product for every age
  };

  int input_size = 0, units = 0, heads = 0, window = 0,
      code = 0;  ///< code: position features appended, P
  bool elu_query = true, elu_entries = true, elu_attention = true;
  bool linear_candidate = false;  ///< mode 'layer' with attentionTarget 'candidate': g = pre_g
  bool input_product = false, drop_state = true, add_code = false;
  bool shared_entry_norm = false;
  Entries entries = Entries::kProjected;

  Slot input, d_input, dy, y, h, c, z, act, dh, dc, attended, e, a, du, lse, scores, d_scores;
  Slot projected, d_projected;        ///< kProjected, kTabled
  Slot entry_values, d_entry_values;  ///< window made for one step: [k][2H]
  Slot entry_inputs, d_entry_inputs;  ///< kReprojected: [k][H + P]
  Slot entry_stats;                   ///< kLayer: [k][4] mean, rstd of key, of value
  Slot d_out, d_cell, d_attention, d_attended, d_query;
  Linear query_and_gates, attention_gates, attention_out, project, reproject;
  Vector table, codes;
  Slot d_table;
  NormSite<kNorm> norm_key, norm_value, norm_attention, norm_gates, norm_cell, norm_hidden;
  int hidden_mask = 0, attention_mask = 0, entry_mask = 0;

  static bool accepts(const Spec& spec);
  static Larnn declare(const Spec& spec, Declaration& d);

  /// Projects an initial state (steps before the first).
  template <class X>
  HD void begin(X& x) const {
    if (entries != Entries::kReprojected) push(x);
  }

  template <class X>
  HD void forward(X& x) const {
    x.linear(query_and_gates);
    activate_query(x);
    const int m = seen(x);
    if (made_each_step()) make_entries(x, m);
    measure_entries(x, m);
    attend_window(x, m);
    x.linear(attention_out);
    finish_attention(x);
    x.linear(attention_gates);
    update_state(x);
    if (entries != Entries::kReprojected) push(x);
  }

  template <class X>
  HD void backward(X& x) const {
    const int m = seen(x);
    if (entries != Entries::kReprojected) retire(x);
    if (entries == Entries::kTabled) make_entries(x, m);
    if (kNorm == NormKind::kLayer) measure_entries(x, m);
    state_backward(x);
    x.adjoint(attention_gates);
    if (attention_backward(x)) {
      x.adjoint(attention_out);
      window_backward(x, m);
    }
    x.adjoint(query_and_gates);
  }

  /// The gradient of an initial state: what came through the forget path is there, its projection's
  /// is added.
  template <class X>
  HD void finish(X& x) const {
    if (entries != Entries::kReprojected) retire(x);
  }

 private:
  /// Entries in the queue at this step.
  template <class X>
  HD int seen(const X& x) const {
    const int pushed = x.initial_entries() + x.time();
    return pushed < window ? pushed : window;
  }
  /// Whether entries differ from step to step, so that they are written out for the step.
  HD bool made_each_step() const { return entries != Entries::kProjected; }
  HD int gate_begin() const { return units; }  ///< in z: the query comes first

  /// The window as attention reads it: phi(projection), then the norm.
  template <class X>
  struct Window {
    using V = typename X::Number;
    const X* x;
    Slot projected;
    typename X::Column made, made_gradient, stats;
    bool made_each_step, normalised, direct;
    int units;
    typename NormSite<kNorm>::template Reader<X> key_norm, value_norm;
    Slot d_projected;

    struct Entry {
      typename X::Column values, gradient;
      int begin, gradient_begin, age;
    };
    HD Entry entry(int age) const {
      Entry e;
      e.age = age;
      e.begin = made_each_step ? (age - 1) * 2 * units : 0;
      e.values = made_each_step ? made : x->at(projected, -age);
      e.gradient_begin = direct ? 0 : (age - 1) * 2 * units;
      e.gradient = direct ? x->at(d_projected, -age) : made_gradient;
      return e;
    }
    /// phi(projection): units 0..H-1 of the key, H..2H-1 of the value.
    template <class R>
    HD V raw(R r, const Entry& e, int i) const {
      return r(e.values, e.begin + i);
    }
    /// u^ of the norm, i as above.
    template <class R>
    HD V hat(R r, const Entry& e, int i) const {
      const bool is_key = i < units;
      if constexpr (kNorm == NormKind::kLayer) {
        const int s = 4 * (e.age - 1) + (is_key ? 0 : 2);
        return (raw(r, e, i) - r(stats, s)) * r(stats, s + 1);
      } else {
        return is_key ? key_norm.hat(r, i, raw(r, e, i))
                      : value_norm.hat(r, i - units, raw(r, e, i));
      }
    }
    template <class R>
    HD V key(R r, const Entry& e, int j) const {
      if constexpr (kNorm == NormKind::kNone) return raw(r, e, j);
      return normalised ? fma(V(key_norm.gamma[j]), hat(r, e, j), V(key_norm.beta[j]))
                        : raw(r, e, j);
    }
    template <class R>
    HD V value(R r, const Entry& e, int j) const {
      if constexpr (kNorm == NormKind::kNone) return raw(r, e, units + j);
      return normalised ? fma(V(value_norm.gamma[j]), hat(r, e, units + j), V(value_norm.beta[j]))
                        : raw(r, e, units + j);
    }
    template <class R>
    HD void add(R r, const Entry& e, int j, V dk, V dv) const {
      if (direct) {
        r(e.gradient, j) += dk;
        r(e.gradient, units + j) += dv;
      } else {
        r(e.gradient, e.gradient_begin + j) = dk;
        r(e.gradient, e.gradient_begin + units + j) = dv;
      }
    }
  };

  template <class X>
  HD Window<X> window_of(X& x) const {
    Window<X> w{&x,
                projected,
                {},
                {},
                {},
                made_each_step(),
                norm_key.on,
                false,
                units,
                norm_key.reader(x),
                norm_value.reader(x),
                d_projected};
    if (made_each_step()) w.made = x.at(entry_values);
    w.direct = !made_each_step() && !norm_key.on;
    if (!w.direct) w.made_gradient = x.at(d_entry_values);
    if (kNorm == NormKind::kLayer && norm_key.on) w.stats = x.at(entry_stats);
    return w;
  }

  template <class X>
  HD void push(X& x) const {
    x.linear(project);
    if (entries != Entries::kProjected || !elu_entries) return;
    const auto values = x.at(projected);
    x.each(2 * units, [=](auto r, int i) { r(values, i) = elu(r(values, i)); });
  }

  /// All steps that see this state are done: its projection's gradient is complete. It replaces the
  /// projection, for the weight gradient, and goes into the state.
  template <class X>
  HD void retire(X& x) const {
    const auto values = x.at(projected), gradient = x.at(d_projected);
    const bool through_elu = entries == Entries::kProjected && elu_entries;
    x.each(2 * units, [=](auto r, int i) {
      const auto d = r(gradient, i);
      r(values, i) = through_elu ? d * d_elu(r(values, i)) : d;
    });
    x.adjoint(project);
  }

  template <class X>
  HD void activate_query(X& x) const {
    if (!elu_query) return;
    const auto z_ = x.at(z);
    x.each(units, [=](auto r, int j) { r(z_, j) = elu(r(z_, j)); });
  }

  template <class X>
  HD void make_entries(X& x, int m) const {
    using V = typename X::Number;
    const auto made = x.at(entry_values);
    const bool bent = elu_entries;
    const int H = units, width = 2 * units;
    if (entries == Entries::kTabled) {
      const auto of_age = x.vector(table);
      const X* from = &x;
      const Slot slot = projected;
      x.rows(m, [=](auto r, int i) {
        const auto state = from->at(slot, -(i + 1));
        for (int j = 0; j < width; ++j) {
          const V u = r(state, j) + V(of_age[i * width + j]);
          r(made, i * width + j) = bent ? elu(u) : u;
        }
      });
      return;
    }
    make_entry_inputs(x, m, H);
    x.linear(reproject);
    x.each(m * width, [=](auto r, int i) {
      if (bent) r(made, i) = elu(r(made, i));
    });
  }

  /// mask [c ; pi] or mask (c + pi) for every age; ages that do not exist yet are zero.
  template <class X>
  HD void make_entry_inputs(X& x, int m, int H) const {
    using V = typename X::Number;
    const auto inputs = x.at(entry_inputs), mask = x.at(x.sequence_slot(entry_mask));
    const auto code_of = x.vector(codes);
    const bool masked = x.given(entry_mask), add = add_code;
    const int width = H + code, P = add_code ? H : code;
    const X* from = &x;
    const Slot state = c;
    x.rows(window, [=](auto r, int i) {
      const auto cell = from->at(state, -(i < m ? i + 1 : 1));
      for (int j = 0; j < width; ++j) {
        V value = j < H ? r(cell, j) : V(code_of[i * P + j - H]);
        if (add) value += V(code_of[i * P + j]);
        if (masked) value *= r(mask, i * width + j);
        r(inputs, i * width + j) = i < m ? value : V(0);
      }
    });
  }

  template <class X>
  HD void measure_entries(X& x, int m) const {
    using V = typename X::Number;
    if (kNorm == NormKind::kNone || !norm_key.on) return;
    const Window<X> w = window_of(x);
    const int H = units;
    if constexpr (kNorm == NormKind::kBatch) {
      if (!x.training()) return;
      x.moments(norm_key.batch, H, m,
                [=](auto r, int j, int i) { return w.raw(r, w.entry(i + 1), j); });
      x.moments(norm_value.batch, H, m,
                [=](auto r, int j, int i) { return w.raw(r, w.entry(i + 1), H + j); });
    }
    if constexpr (kNorm == NormKind::kLayer) {
      const auto stats = w.stats;
      const V epsilon = V(norm_key.eps);
      x.rows(2 * m, [=](auto r, int i) {
        const auto entry = w.entry(i / 2 + 1);
        const int begin = i % 2 * H;
        V sum(0), squares(0);
        for (int j = begin; j < begin + H; ++j) sum += w.raw(r, entry, j);
        const V mean = sum / V(H);
        for (int j = begin; j < begin + H; ++j) {
          const V apart = w.raw(r, entry, j) - mean;
          squares = fma(apart, apart, squares);
        }
        r(stats, 2 * i) = mean;
        r(stats, 2 * i + 1) = V(1) / sqrt(squares / V(H) + epsilon);
      });
    }
  }

  template <class X>
  HD AttentionHead<typename X::Number> head_of(int head, int m) const {
    using V = typename X::Number;
    const int D = units / heads;
    return {head * D, D, m, head * window, V(1) / sqrt(V(D))};
  }

  template <class X>
  HD void attend_window(X& x, int m) const {
    using V = typename X::Number;
    const Window<X> w = window_of(x);
    const auto z_ = x.at(z), out = x.at(attended), lse_ = x.at(lse), scores_ = x.at(scores);
    const bool masked = x.given(attention_mask);
    const auto mask_ = x.at(x.sequence_slot(attention_mask));
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
    const auto z_ = x.at(z), act_ = x.at(act), c_ = x.at(c), c_prev = x.at(c, -1), h_ = x.at(h),
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
  }

  /// From the gradients of y, h and c to those of z's gates and of c_{t-1}.
  template <class X>
  HD void state_backward(X& x) const {
    using V = typename X::Number;
    const int H = units, to = act_begin();
    const bool product = input_product, linear = linear_candidate;
    const auto act_ = x.at(act), c_ = x.at(c), c_prev = x.at(c, -1), x_ = x.at(input),
               dx_ = x.at(d_input);
    const auto dc_ = x.at(dc), dc_prev = x.at(dc, -1), d_out_ = x.at(d_out), d_cell_ = x.at(d_cell);
    if (norm_gates.on) activate_gates(x);
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
    const bool masked = x.given(hidden_mask), drop = drop_state;
    const auto mask = x.at(x.sequence_slot(hidden_mask)), dy_ = x.at(dy), dh_ = x.at(dh),
               d_out_ = x.at(d_out);
    x.each(units, [=](auto r, int j) {
      const V kept = masked ? r(mask, j) : V(1);
      r(d_out_, j) = drop ? kept * (r(dy_, j) + r(dh_, j)) : fma(kept, r(dy_, j), r(dh_, j));
    });
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
    const auto z_ = x.at(z), e_ = x.at(e), du_ = x.at(du), d_ = x.at(d_attention);
    const bool bent = elu_attention, first = first_step(x);
    if (first && norm_attention.on) {
      const auto sum_beta = x.at(norm_attention.d_beta);
      x.each(units, [=](auto r, int j) {
        r(sum_beta, j) += r(d_, j);
        r(du_, j) = V(0);
        r(z_, j) = V(0);
      });
      return false;
    }
    const auto norm = norm_attention.reader(x);
    norm_attention.adjoint(x, d_, 0, [=](auto r, int j) { return norm.hat(r, j, r(e_, j)); });
    x.each(units, [=](auto r, int j) {
      const V d = r(d_, j);
      r(du_, j) = bent ? d * d_elu(r(e_, j)) : d;
    });
    if (!first || !norm_key.on) return true;
    // The only entry has weight 1: dV = dr, and beyond the norm's beta nothing is left of it.
    x.adjoint(attention_out);
    const auto dr = x.at(d_attended), sum_beta = x.at(norm_value.d_beta);
    x.each(units, [=](auto r, int j) {
      r(sum_beta, j) += r(dr, j);
      r(z_, j) = V(0);
    });
    return false;
  }
  template <class X>
  HD bool first_step(const X& x) const {
    return kNorm == NormKind::kBatch && x.training() && x.time() == 0 && x.default_start() &&
           !x.given(attention_mask) && !x.given(entry_mask);
  }

  template <class X>
  HD void window_backward(X& x, int m) const {
    using V = typename X::Number;
    const Window<X> w = window_of(x);
    const auto z_ = x.at(z), lse_ = x.at(lse), scores_ = x.at(scores), d_scores_ = x.at(d_scores);
    const auto dr = x.at(d_attended), dq = x.at(d_query);
    const bool masked = x.given(attention_mask), bent = elu_query;
    const auto mask_ = x.at(x.sequence_slot(attention_mask));
    x.rows(heads, [=, this](auto r, int head) {
      const auto mask = [=](auto row, int i) { return masked ? row(mask_, i) : V(1); };
      attend_backward(r, head_of<X>(head, m), z_, w, mask, lse_, head, dr, scores_, d_scores_, dq);
    });
    x.each(units, [=](auto r, int j) {
      const V d = r(dq, j);
      r(z_, j) = bent ? d * d_elu(r(z_, j)) : d;
    });
    if (w.direct) return;
    if (norm_key.on) entry_norm_backward(x, w, m);
    spread_entries(x, w, m);
  }

  /// Key and value gradients in `d_entry_values` turn from those of the norm's result into those of
  /// its input.
  template <class X>
  HD void entry_norm_backward(X& x, const Window<X>& w, int m) const {
    using V = typename X::Number;
    const int H = units, width = 2 * units;
    const auto d = x.at(d_entry_values);
    for (int part = 0; part < 2; ++part) {
      const NormSite<kNorm>& site = part == 0 ? norm_key : norm_value;
      const int begin = part * H;
      const auto gamma = x.vector(site.gamma);
      const auto sum_gamma = x.at(site.d_gamma), sum_beta = x.at(site.d_beta);
      // A constant added to all keys shifts all scores alike: bn_k's beta has no gradient, only
      // rounding noise.
      const bool with_beta = part == 1 || shared_entry_norm || kNorm == NormKind::kLayer;
      x.each(H, [=](auto r, int j) {
        for (int i = 0; i < m; ++i) {
          const V d_y = r(d, i * width + begin + j);
          r(sum_gamma, j) += d_y * w.hat(r, w.entry(i + 1), begin + j);
          if (with_beta) r(sum_beta, j) += d_y;
        }
      });
      if constexpr (kNorm == NormKind::kBatch) {
        const auto rstd = x.rstd(site.batch);
        const bool training = x.training();
        const typename X::S* totals = nullptr;
        if (training) {
          totals = x.sums(H, [=](auto r, int j, V& first, V& second) {
            for (int i = 0; i < m; ++i) {
              const V D = V(gamma[j]) * r(d, i * width + begin + j);
              first += D;
              second = fma(D, w.hat(r, w.entry(i + 1), begin + j), second);
            }
          });
        }
        const V inverse = V(1) / (V(x.batch_rows()) * V(m));
        x.each(H, [=](auto r, int j) {
          for (int i = 0; i < m; ++i) {
            V d_u = V(gamma[j]) * r(d, i * width + begin + j);
            if (training) {
              const V u = w.hat(r, w.entry(i + 1), begin + j);
              d_u = d_u - V(totals[j]) * inverse - u * (V(totals[H + j]) * inverse);
            }
            r(d, i * width + begin + j) = select(r.active(), V(rstd[j]) * d_u, V(0));
          }
        });
      }
      if constexpr (kNorm == NormKind::kLayer) {
        const auto stats = w.stats;
        x.rows(m, [=](auto r, int i) {
          const auto entry = w.entry(i + 1);
          V first(0), second(0);
          for (int j = 0; j < H; ++j) {
            const V D = V(gamma[j]) * r(d, i * width + begin + j);
            first += D;
            second = fma(D, w.hat(r, entry, begin + j), second);
          }
          for (int j = 0; j < H; ++j) {
            const V D = V(gamma[j]) * r(d, i * width + begin + j);
            const V rest = D - first / V(H) - w.hat(r, entry, begin + j) * (second / V(H));
            r(d, i * width + begin + j) = r(stats, 4 * i + 2 * part + 1) * rest;
          }
        });
      }
    }
  }

  /// Hands the gradients of this step's entries on to the states they come from.
  template <class X>
  HD void spread_entries(X& x, const Window<X>& w, int m) const {
    using V = typename X::Number;
    const int width = 2 * units;
    const auto d = x.at(d_entry_values);
    const bool through_elu = made_each_step() && elu_entries;
    const X* from = &x;
    if (entries != Entries::kReprojected) {
      const Slot to = d_projected;
      const bool tabled = entries == Entries::kTabled;
      const auto d_table_ = tabled ? x.at(d_table) : d;
      x.rows(m, [=](auto r, int i) {
        const auto entry = w.entry(i + 1);
        const auto ring = from->at(to, -(i + 1));
        for (int j = 0; j < width; ++j) {
          V d_u = r(d, i * width + j);
          if (through_elu) d_u = d_u * d_elu(w.raw(r, entry, j));
          r(ring, j) += d_u;
          if (tabled) r(d_table_, i * width + j) += d_u;
        }
      });
      return;
    }
    spread_reprojected(x, m);
  }

  template <class X>
  HD void spread_reprojected(X& x, int m) const {
    using V = typename X::Number;
    const int H = units, width = 2 * units, input_width = units + code;
    const auto d = x.at(d_entry_values), made = x.at(entry_values);
    const bool through_elu = elu_entries, masked = x.given(entry_mask);
    // The weight gradient reads where the entries were, so their gradients take that place.
    x.each(window * width, [=](auto r, int i) {
      const V d_u = i < m * width ? r(d, i) : V(0);
      r(made, i) = through_elu ? d_u * d_elu(r(made, i)) : d_u;
    });
    x.adjoint(reproject);
    const auto d_inputs = x.at(d_entry_inputs), mask = x.at(x.sequence_slot(entry_mask));
    const X* from = &x;
    const Slot to = dc;
    x.each(H, [=](auto r, int j) {
      for (int i = 0; i < m; ++i) {
        const V de = r(d_inputs, i * input_width + j);
        r(from->at(to, -(i + 1)), j) += masked ? de * r(mask, i * input_width + j) : de;
      }
    });
  }
};

}  // namespace lookback

#include "cells/larnn_declare.h"
