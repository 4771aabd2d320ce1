/// LARNN's window: the last k cell states of a row as keys and values (sections 4.2, 6.8 and 7 of
/// its document).
///
///   K_a = n_k(phi(W_k e_a + b_k))    V_a = n_v(phi(W_v e_a + b_v))    e_a = c_{t-a}, [c_{t-a} ;
///   pi_a], c_{t-a} + pi_a
///
/// Each state is projected once, when it is made, not k times: W_k [c ; pi] + b = W_k^c c + (W_k^pi
/// pi + b), the second part being a table [k, 2H] by age. Only dropout on the window's inputs
/// forces the full product for every age.
#pragma once

#include "cells/cell.h"
#include "cells/norm.h"
#include "math/scalar.h"

namespace lookback {

template <NormKind kNorm>
struct LarnnWindow {
  /// Where the entries come from at a step.
  enum class Entries {
    kProjected,    ///< phi(W c + b), final since the state was made
    kTabled,       ///< phi(W c + table[age])
    kReprojected,  ///< phi(W (mask [c ; pi]) + b), a product for every age
  };

  Entries entries = Entries::kProjected;
  int units = 0, length = 0;  ///< H, k
  int code = 0;               ///< position features appended, P
  bool bent = true;           ///< phi is ELU, not the identity
  bool add_code = false, shared_norm = false;
  Slot state, d_state;                ///< the cell states
  Slot projected, d_projected;        ///< kProjected, kTabled: [2H] of each state
  Slot exponentials;                  ///< kTabled with ELU: e^ of those still seen (`refresh`)
  Slot entry_values;                  ///< kReprojected: made for one step, [k][2H]
  Slot entry_inputs, d_entry_inputs;  ///< kReprojected: [k][H + P]
  Slot entry_stats;                   ///< kLayer: [k][4] mean, rstd of key, of value
  Slot value_sum, kept;               ///< with norms, in backward: [H], [heads], see Gradient
  Linear project, reproject;
  Vector table, codes;
  Slot d_table;
  bool total_table = false;  ///< d_table is one number for all rows
  NormSite<kNorm> norm_key, norm_value;
  int entry_mask = 0;

  /// Entries in the queue at this step.
  template <class X>
  HD int seen(const X& x) const {
    const int pushed = x.initial_entries() + x.time();
    return pushed < length ? pushed : length;
  }

  /// The entries of one step as attention reads them.
  template <class X>
  struct View {
    using V = typename X::Number;
    const X* x;
    int units;
    bool bent, written, reprojected, normalised, total_table;
    Slot projected, d_projected;
    typename X::Column made, stats, d_table;
    typename NormSite<kNorm>::template Reader<X> key_norm, value_norm;

    struct Entry {
      typename X::Column values, gradient;
      int begin, age;
    };
    HD Entry entry(int age) const {
      Entry e;
      e.age = age;
      e.begin = written ? (age - 1) * 2 * units : 0;
      e.values = written ? made : x->at(projected, -age);
      e.gradient = reprojected ? made : x->at(d_projected, -age);
      return e;
    }
    /// phi(projection): units 0..H-1 of the key, H..2H-1 of the value.
    template <class R>
    HD V raw(R r, const Entry& e, int i) const {
      return r(e.values, e.begin + i);
    }
    /// u^ of the norm, from the raw number i of an entry.
    template <class R>
    HD V hat(R r, const Entry& e, int i, V number) const {
      const bool is_key = i < units;
      if constexpr (kNorm == NormKind::kLayer) {
        const int s = 4 * (e.age - 1) + (is_key ? 0 : 2);
        return (number - r(stats, s)) * r(stats, s + 1);
      } else {
        return is_key ? key_norm.hat(r, i, number) : value_norm.hat(r, i - units, number);
      }
    }
    template <class R>
    HD V hat(R r, const Entry& e, int i) const {
      return hat(r, e, i, raw(r, e, i));
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
    /// Hands the gradient d of the raw number i of an entry on to the state that it comes from.
    template <class R>
    HD void give(R r, const Entry& e, int i, V number, V d) const {
      if (!written) {
        r(e.gradient, i) += d;
        return;
      }
      const V d_u = bent ? d * d_elu(number) : d;
      if (reprojected) {
        // The weight gradient reads where the entries were, so their gradients take that place.
        r(e.gradient, e.begin + i) = d_u;
      } else {
        r(e.gradient, i) += d_u;
        if (total_table) {
          r.add(d_table, e.begin + i, d_u);
        } else {
          r(d_table, e.begin + i) += d_u;
        }
      }
    }
    /// The gradients of unit j of a key and a value that no norm has touched.
    template <class R>
    HD void add(R r, const Entry& e, int j, V dk, V dv) const {
      give(r, e, j, raw(r, e, j), dk);
      give(r, e, units + j, raw(r, e, units + j), dv);
    }
  };

  /// The gradients of normalised keys and values of age a, as the factors that they are products
  /// of: unit j of a key has ds_a q_j, of a value p_a dr_j, ds and p being the head's. Of sums over
  /// ages attention leaves sum_a ds_a u^_a, sum_a p_a u^_a and sum_a p_a; sum_a ds_a is 0.
  template <class X>
  struct Gradient {
    int heads;
    typename X::Column d_scores, scores;  ///< [heads][k] ds, p
    typename X::Column query, d_attended;
    typename X::Column key_sum;  ///< [H]; turns into the gradient of the query
    typename X::Column value_sum, kept;
  };

  template <class X>
  HD View<X> view(X& x) const {
    View<X> w{&x,
              units,
              bent,
              made_each_step(),
              entries == Entries::kReprojected,
              norm_key.on,
              total_table,
              projected,
              d_projected,
              {},
              {},
              {},
              norm_key.reader(x),
              norm_value.reader(x)};
    if (w.written) w.made = x.at(entry_values);
    if (entries == Entries::kTabled) w.d_table = x.at(d_table);
    if (kNorm == NormKind::kLayer && norm_key.on) w.stats = x.at(entry_stats);
    return w;
  }

  /// Projects the state that this step has made.
  template <class X>
  HD void push(X& x) const {
    if (entries == Entries::kReprojected) return;
    x.linear(project);
    if (!bent) return;
    const auto values = x.at(projected);
    if (entries == Entries::kTabled) return exponentiate(x, 0);
    x.each(2 * units, [=](auto r, int i) { r(values, i) = elu(r(values, i)); });
  }

  /// All steps that see this state are done: its projection's gradient is complete. It replaces the
  /// projection, for the weight gradient, and goes into the state.
  template <class X>
  HD void retire(X& x) const {
    if (entries == Entries::kReprojected) return;
    const auto values = x.at(projected), gradient = x.at(d_projected);
    const bool through_elu = entries == Entries::kProjected && bent;
    x.each(2 * units, [=](auto r, int i) {
      const auto d = r(gradient, i);
      r(values, i) = through_elu ? d * d_elu(r(values, i)) : d;
    });
    x.adjoint(project);
  }

  /// Writes out the entries of this step, where they are not those of the step before.
  template <class X>
  HD void make(X& x, int m) const {
    if (!made_each_step()) return;
    if (entries == Entries::kTabled) return make_tabled(x, m);
    const auto made = x.at(entry_values);
    const bool through_elu = bent;
    make_inputs(x, m, units);
    x.linear(reproject);
    x.each(m * 2 * units, [=](auto r, int i) {
      if (through_elu) r(made, i) = elu(r(made, i));
    });
  }

  /// Takes the norms' statistics over the entries of this step.
  template <class X>
  HD void measure(X& x, int m) const {
    using V = typename X::Number;
    if (kNorm == NormKind::kNone || !norm_key.on) return;
    const View<X> w = view(x);
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

  /// What is saved on the tape is not enough for the backward pass of this step: tabled entries,
  /// and statistics per row and age.
  template <class X>
  HD void restore(X& x, int m) const {
    if (entries == Entries::kTabled) {
      // Forward left the exponentials of the last k states; one more comes into reach each step.
      if (bent && m == length) exponentiate(x, -length);
      make(x, m);
    }
    if (kNorm == NormKind::kLayer) measure(x, m);
  }

  /// After attention's own backward pass, which has handed the gradients of bare entries on: those
  /// of normalised ones, and the rest of the way where every age has a product of its own.
  template <class X, class View>
  HD void backward(X& x, const View& w, int m, const Gradient<X>& g) const {
    if (norm_key.on) norm_backward(x, w, m, g);
    if (entries == Entries::kReprojected) spread_reprojected(x, m);
  }
  /// Instead of it, in a step whose entries get no gradient.
  template <class X>
  HD void skip_backward(X& x) const {
    if (entries == Entries::kReprojected) clear_made(x, 0);
  }

 private:
  /// Whether entries differ from step to step, so that they are written out for the step.
  HD bool made_each_step() const { return entries != Entries::kProjected; }

  template <class X>
  HD void exponentiate(X& x, int dt) const {
    const auto values = x.at(projected, dt), to = x.at(exponentials, dt);
    x.each(2 * units, [=](auto r, int i) { r(to, i) = exp(r(values, i)); });
  }

  /// phi(u + v) of every age, u a state's projection and v the age's part of the table. An ELU
  /// needs e^(u + v) = e^u e^v: one multiplication in place of an exponential.
  template <class X>
  HD void make_tabled(X& x, int m) const {
    using V = typename X::Number;
    const auto made = x.at(entry_values);
    const int width = 2 * units, count = length * width;
    const auto of_age = x.vector(table);
    const bool factored = bent && of_age[2 * count] > typename X::S(0), through_elu = bent;
    const X* from = &x;
    const Slot slot = projected, powers = factored ? exponentials : projected;
    x.rows(m, [=](auto r, int i) {
      const auto projection = from->at(slot, -(i + 1)), power = from->at(powers, -(i + 1));
      const auto v = of_age + i * width, power_of_age = v + count;
      if (factored) {
        for (int j = 0; j < width; ++j) {
          const V u = r(projection, j) + V(v[j]);
          const V bend = fma(r(power, j), V(power_of_age[j]), V(-1));
          r(made, i * width + j) = where_positive(u, u, bend);
        }
      } else {
        for (int j = 0; j < width; ++j) {
          const V u = r(projection, j) + V(v[j]);
          r(made, i * width + j) = through_elu ? elu(u) : u;
        }
      }
    });
  }

  /// mask [c ; pi] or mask (c + pi) for every age; ages that do not exist yet are zero.
  template <class X>
  HD void make_inputs(X& x, int m, int H) const {
    using V = typename X::Number;
    const auto inputs = x.at(entry_inputs), mask = x.at(x.sequence_slot(entry_mask));
    const auto code_of = x.vector(codes);
    const bool masked = x.given(entry_mask), add = add_code;
    const int width = H + code, P = add_code ? H : code;
    const X* from = &x;
    const Slot cells = state;
    x.rows(length, [=](auto r, int i) {
      const auto cell = from->at(cells, -(i < m ? i + 1 : 1));
      for (int j = 0; j < width; ++j) {
        V value = j < H ? r(cell, j) : V(code_of[i * P + j - H]);
        if (add) value += V(code_of[i * P + j]);
        if (masked) value *= r(mask, i * width + j);
        r(inputs, i * width + j) = i < m ? value : V(0);
      }
    });
  }

  /// The gradients of normalised entries go through the norms and on to the states.
  template <class X, class View>
  HD void norm_backward(X& x, const View& w, int m, const Gradient<X>& g) const {
    for (int part = 0; part < 2; ++part) {
      const NormSite<kNorm>& site = part == 0 ? norm_key : norm_value;
      sum_parameters(x, site, part, g);
      if constexpr (kNorm == NormKind::kBatch) batch_backward(x, w, m, site, part, g);
      if constexpr (kNorm == NormKind::kLayer) layer_backward(x, w, m, site, part, g);
    }
    using V = typename X::Number;
    const auto gamma = x.vector(norm_key.gamma);
    const auto dq = g.key_sum;
    x.each(units, [=](auto r, int j) { r(dq, j) *= V(gamma[j]); });
  }

  /// dgamma and dbeta of this step. A constant added to all keys shifts all scores alike, so a
  /// key's beta has no gradient.
  template <class X>
  HD void sum_parameters(X& x, const NormSite<kNorm>& site, int part, const Gradient<X>& g) const {
    const auto sum_gamma = x.at(site.d_gamma), sum_beta = x.at(site.d_beta);
    const auto factor = part == 0 ? g.query : g.d_attended;
    const auto hats = part == 0 ? g.key_sum : g.value_sum, kept_ = g.kept;
    const int size = units / g.heads;
    x.each(units, [=](auto r, int j) {
      r(sum_gamma, j) += r(factor, j) * r(hats, j);
      if (part == 1) r(sum_beta, j) += r(factor, j) * r(kept_, j / size);
    });
  }

  template <class X, class View>
  HD void batch_backward(X& x, const View& w, int m, const NormSite<kNorm>& site, int part,
                         const Gradient<X>& g) const {
    using V = typename X::Number;
    const int H = units, heads = g.heads, size = H / heads, k = length, begin = part * H;
    const auto gamma = x.vector(site.gamma);
    const auto rstd = x.rstd(site.batch);
    const auto factor = part == 0 ? g.query : g.d_attended;
    const auto hats = part == 0 ? g.key_sum : g.value_sum, kept_ = g.kept;
    const auto weights = part == 0 ? g.d_scores : g.scores;
    const bool training = x.training();
    const typename X::S* totals = nullptr;
    if (training) {
      totals = x.sums(H, [=](auto r, int j, V& first, V& second) {
        const V D = V(gamma[j]) * r(factor, j);
        first = part == 0 ? V(0) : V(D * r(kept_, j / size));
        second = D * r(hats, j);
      });
    }
    const V inverse = V(1) / (V(x.batch_rows()) * V(m));
    x.rows(m, [=](auto r, int i) {
      const auto entry = w.entry(i + 1);
      for (int head = 0; head < heads; ++head) {
        const V weight = r(weights, head * k + i);
        for (int j = head * size; j < (head + 1) * size; ++j) {
          const V number = w.raw(r, entry, begin + j);
          V d = V(gamma[j]) * r(factor, j) * weight;
          if (training) {
            const V u = w.hat(r, entry, begin + j, number);
            d = d - V(totals[j]) * inverse - u * (V(totals[H + j]) * inverse);
          }
          w.give(r, entry, begin + j, number, select(r.active(), V(rstd[j]) * d, V(0)));
        }
      }
    });
  }

  template <class X, class View>
  HD void layer_backward(X& x, const View& w, int m, const NormSite<kNorm>& site, int part,
                         const Gradient<X>& g) const {
    using V = typename X::Number;
    const int H = units, heads = g.heads, size = H / heads, k = length, begin = part * H;
    const auto gamma = x.vector(site.gamma);
    const auto factor = part == 0 ? g.query : g.d_attended;
    const auto weights = part == 0 ? g.d_scores : g.scores, stats = w.stats;
    x.rows(m, [=](auto r, int i) {
      const auto entry = w.entry(i + 1);
      V first(0), second(0);
      for (int head = 0; head < heads; ++head) {
        const V weight = r(weights, head * k + i);
        for (int j = head * size; j < (head + 1) * size; ++j) {
          const V D = V(gamma[j]) * r(factor, j) * weight;
          first += D;
          second = fma(D, w.hat(r, entry, begin + j), second);
        }
      }
      first = first / V(H);
      second = second / V(H);
      const V rstd = r(stats, 4 * i + 2 * part + 1);
      for (int head = 0; head < heads; ++head) {
        const V weight = r(weights, head * k + i);
        for (int j = head * size; j < (head + 1) * size; ++j) {
          const V number = w.raw(r, entry, begin + j);
          const V D = V(gamma[j]) * r(factor, j) * weight;
          const V rest = D - first - w.hat(r, entry, begin + j, number) * second;
          w.give(r, entry, begin + j, number, rstd * rest);
        }
      }
    });
  }

  /// Gradients of the ages that are not there.
  template <class X>
  HD void clear_made(X& x, int m) const {
    using V = typename X::Number;
    const auto made = x.at(entry_values);
    const int begin = m * 2 * units;
    x.each(length * 2 * units - begin, [=](auto r, int i) { r(made, begin + i) = V(0); });
  }

  template <class X>
  HD void spread_reprojected(X& x, int m) const {
    using V = typename X::Number;
    const int H = units, input_width = units + code;
    const bool masked = x.given(entry_mask);
    clear_made(x, m);
    x.adjoint(reproject);
    const auto d_inputs = x.at(d_entry_inputs), mask = x.at(x.sequence_slot(entry_mask));
    const X* from = &x;
    const Slot to = d_state;
    x.each(H, [=](auto r, int j) {
      for (int i = 0; i < m; ++i) {
        const V de = r(d_inputs, i * input_width + j);
        r(from->at(to, -(i + 1)), j) += masked ? de * r(mask, i * input_width + j) : de;
      }
    });
  }
};

}  // namespace lookback
