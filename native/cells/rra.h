/// Recurrent residual attention (Wang 2017, arXiv:1709.03714): an LSTM whose output also sees a
/// weighted sum of the last K hidden states.
///
///   z = W_x x_t + W_h h_{t-1} + b
///   i = s(z^i)    f = s(z^f)    g = tanh(z^g)    o = s(z^o)    c' = f c_{t-1} + i g
///   a = sum_k w_k h_{t-lag-k},  k = 0 .. K-1
///
///   inject         c_t      h_t                      here p is what o multiplies
///   insideTanh     c'       o tanh(c' + a)
///   output         c'       o tanh(c') + a
///   gatedOutput    c'       o (tanh(c') + a)
///   cell           c' + a   o tanh(c' + a)
///   candidate      c'       o tanh(c'),  with g = tanh(z^g + a)
///
///   base rnn: z = W_x x_t + W_h h_{t-1} + b and h_t = phi(z + a), or phi(z) + a with 'output'
///
/// Weights w:
///   gate            W_a normalised (parametrization/attention_weights.h), one number for an entry
///                   or one for an entry and unit
///   softmaxPerStep  softmax_k(V_x x_t + V_h h_{t-1} + v_b), rows of the same product as the gates
///   dotPerStep      softmax_k(dotScale <h_{t-1}, h_{t-lag-k}>)
///
/// The window reads h of the sequence itself and, for the time before it, what was carried in, or
/// h0 with includeInitial. The entries there are (n of K) are always the newest: with warmup
/// 'zeros' the others are zero and keep their weights, with 'renormalize' they have none.
///
/// Backward, with dh and dc what arrives at h_t and c_t, q the tanh, u its argument:
///   dz^o = dh p o'    dq = dh o    dc += dq (1 - q^2)    da = du, dh, dh o, dc or dz^g by inject
///   dz^i, dz^f, dz^g, dc_{t-1} as in an LSTM
///   dw_k = <da, h_{t-lag-k}>       dh_{t-lag-k} += w_k da
///   per step: de_k = w_k (dw_k - sum_j w_j dw_j);  dot: dh_{t-1} += sum_k e' h_{t-lag-k},
///   dh_{t-lag-k} += e' h_{t-1},  e' = dotScale de_k
///
/// Saved per row and step: the gates (over z), p, c, h, and w where it is made per step. h_{t-1}
/// may be masked on its way into the product, logits included (extensions.h); the window and the
/// scores of dotPerStep see it whole. With zoneout the window holds what was kept.
///
/// Deviations: none from the author's program with normalize 'sum', apart from the order in which
/// gates and W_a are stored. dotPerStep scores each row by itself, which his follow-up does not.
#pragma once

#include "base/spec.h"
#include "cells/cell.h"
#include "cells/extensions.h"
#include "math/scalar.h"

namespace lookback {

struct Rra {
  static constexpr char kKey[] = "rra";
  static constexpr bool kLayered = false;
  enum Gate { kI, kF, kG, kO, kGates };
  enum class Attention { kGate, kSoftmaxPerStep, kDotPerStep };
  enum class Inject { kInsideTanh, kOutput, kGatedOutput, kCell, kCandidate };
  enum class Activation { kTanh, kRelu, kElu };
  /// What a weight belongs to: an entry; an entry and a unit; an entry and a row of the batch.
  enum class Weights { kShared, kPerUnit, kPerRow };

  int units = 0, K = 0, lag = 1;
  bool gated = true;  ///< base lstm
  bool renormalize = false, include_initial = false, per_unit = false;
  Attention attention = Attention::kGate;
  Inject inject = Inject::kInsideTanh;
  Activation activation = Activation::kTanh;
  double dot_scale = 1;
  int window = 0;  ///< number of its state
  Slot z;          ///< gates or phi(z), then the logits and weights made per step
  Slot p, c, h, dc, dh, dy, past, d_past;
  Slot a;   ///< the weighted sum; in backward its gradient
  Slot dw;  ///< of weights made per step
  Linear product;
  RecurrentInput recurrent;
  Vector table;  ///< normalised weights: [K] or, to renormalize, [K][K]; with units [..][H]
  Slot d_table;

  static bool accepts(const Spec&) { return true; }
  static Rra declare(const Spec& spec, Declaration& d);

  /// The window's entries from before the first step: given, zero, or h0 as the newest.
  template <class X>
  HD void begin(X& x) const {
    if (!starts_with_h0(x)) return;
    const auto from = x.at(h), to = x.at(past);
    x.each(units, [=](auto r, int j) { r(to, j) = r(from, j); });
  }

  template <class X>
  HD void forward(X& x) const {
    recurrent.forward(x);
    x.linear(product);
    const int n = entries(x);
    if (attention == Attention::kGate && !per_unit) weigh<Weights::kShared>(x, n);
    if (attention == Attention::kGate && per_unit) weigh<Weights::kPerUnit>(x, n);
    if (attention != Attention::kGate) {
      if (attention == Attention::kDotPerStep) score(x, n);
      soften(x, n);
      weigh<Weights::kPerRow>(x, n);
    }
    if (gated) {
      by_inject([&](auto kind) { forward_units<kind()>(x); });
    } else {
      apply(x);
    }
  }

  template <class X>
  HD void backward(X& x) const {
    recurrent.begin_backward(x);
    if (gated) {
      by_inject([&](auto kind) { backward_units<kind()>(x); });
    } else {
      differentiate(x);
    }
    const int n = entries(x);
    if (attention == Attention::kGate && !per_unit) unweigh<Weights::kShared>(x, n);
    if (attention == Attention::kGate && per_unit) unweigh<Weights::kPerUnit>(x, n);
    if (attention != Attention::kGate) {
      unweigh<Weights::kPerRow>(x, n);
      soften_backward(x, n);
      if (attention == Attention::kDotPerStep) score_backward(x, n);
    }
    x.adjoint(product);
    recurrent.backward(x);
  }

  template <class X>
  HD void finish(X& x) const {
    if (!starts_with_h0(x)) return;
    const auto from = x.at(d_past), to = x.at(dh);
    x.each(units, [=](auto r, int j) { r(to, j) += r(from, j); });
  }

 private:
  static constexpr int kTogether = 4;  ///< entries that one pass over the units takes

  /// A few entries of the window from `first` on, and their gradients.
  template <class X>
  struct Few {
    int first, count;
    typename X::Column value[kTogether], gradient[kTogether];

    /// f(i) for every one of them.
    template <class F>
    HD void each(F f) const {
      if (count == kTogether) {
        UNROLL(4)
        for (int i = 0; i < kTogether; ++i) f(i);
      } else {
        for (int i = 0; i < count; ++i) f(i);
      }
    }
  };

  /// The weights of one step.
  template <Weights kOf, class X>
  struct Reader {
    using V = typename X::Number;
    const typename X::S* numbers;
    typename X::Column made;
    int begin, units;
    template <class Row>
    HD V operator()(Row r, int k, int j) const {
      if constexpr (kOf == Weights::kShared) return V(numbers[k]);
      if constexpr (kOf == Weights::kPerUnit) return V(numbers[k * units + j]);
      if constexpr (kOf == Weights::kPerRow) return r(made, begin + k);
    }
  };

  HD int first_logit() const { return (gated ? kGates : 1) * units; }
  template <class X>
  HD bool starts_with_h0(const X& x) const {
    return include_initial && !x.state_given(window);
  }
  /// Entries that the window holds at this step.
  template <class X>
  HD int entries(const X& x) const {
    if (x.state_given(window)) return K;
    const int n = x.time() - lag + (include_initial ? 2 : 1);
    return n < 0 ? 0 : n < K ? n : K;
  }
  /// Entries that a softmax made per step runs over.
  HD int weighted(int n) const { return renormalize ? n : K; }

  template <class X>
  HD Few<X> few(const X& x, int first, int n) const {
    Few<X> out;
    out.first = first;
    out.count = n - first < kTogether ? n - first : kTogether;
    for (int i = 0; i < out.count; ++i) {
      const int dt = -(lag + first + i);
      const bool own = x.time() + dt >= 0;
      out.value[i] = x.at(own ? h : past, dt);
      out.gradient[i] = x.at(own ? dh : d_past, dt);
    }
    return out;
  }

  /// Where the weights of a window of n entries begin in the table.
  HD int table_begin(int n) const {
    return renormalize && n > 0 ? (n - 1) * K * (per_unit ? units : 1) : 0;
  }
  template <Weights kOf, class X>
  HD Reader<kOf, X> reader(const X& x, int n) const {
    Reader<kOf, X> w{nullptr, x.at(z), first_logit(), units};
    if constexpr (kOf != Weights::kPerRow) w.numbers = x.vector(table) + table_begin(n);
    return w;
  }

  /// a = sum_k w_k h_{t-lag-k}
  template <Weights kOf, class X>
  HD void weigh(X& x, int n) const {
    using V = typename X::Number;
    const auto a_ = x.at(a);
    const auto w = reader<kOf>(x, n);
    int first = 0;
    do {
      const Few<X> some = few(x, first, n);
      x.each(units, [=](auto r, int j) {
        V sum = some.first == 0 ? V(0) : r(a_, j);
        some.each([&](int i) { sum = fma(w(r, some.first + i, j), r(some.value[i], j), sum); });
        r(a_, j) = sum;
      });
      first += kTogether;
    } while (first < n);
  }

  /// The adjoint of `weigh`, from da in `a`.
  template <Weights kOf, class X>
  HD void unweigh(X& x, int n) const {
    using V = typename X::Number;
    const auto da = x.at(a);
    const auto d_weights = x.at(kOf == Weights::kPerRow ? dw : d_table);
    const auto w = reader<kOf>(x, n);
    const int H = units, begin = kOf == Weights::kPerRow ? 0 : table_begin(n);
    const X* from = &x;
    x.rows((n + kTogether - 1) / kTogether, [=, this](auto r, int chunk) {
      const Few<X> some = few(*from, chunk * kTogether, n);
      [[maybe_unused]] V weight[kTogether] = {V(0), V(0), V(0), V(0)},
                         sum[kTogether] = {V(0), V(0), V(0), V(0)};
      if constexpr (kOf != Weights::kPerUnit)
        some.each([&](int i) { weight[i] = w(r, some.first + i, 0); });
      for (int j = 0; j < H; ++j) {
        const V d = r(da, j);
        some.each([&](int i) {
          const V value = r(some.value[i], j);
          if constexpr (kOf == Weights::kPerUnit) {
            const int k = some.first + i;
            r(d_weights, begin + k * H + j) += d * value;
            r(some.gradient[i], j) += w(r, k, j) * d;
          } else {
            sum[i] = fma(d, value, sum[i]);
            r(some.gradient[i], j) += weight[i] * d;
          }
        });
      }
      some.each([&](int i) {
        // Tables collect the whole sequence, weights made per step are done.
        if constexpr (kOf == Weights::kShared) r(d_weights, begin + some.first + i) += sum[i];
        if constexpr (kOf == Weights::kPerRow) r(d_weights, some.first + i) = sum[i];
      });
    });
  }

  /// Logits dotScale <h_{t-1}, h_{t-lag-k}>; 0 for empty entries.
  template <class X>
  HD void score(X& x, int n) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), now = x.at(h, -1);
    const int H = units, begin = first_logit(), all = K;
    const V scale = V(dot_scale);
    const X* from = &x;
    x.rows((all + kTogether - 1) / kTogether, [=, this](auto r, int chunk) {
      const int first = chunk * kTogether;
      const Few<X> some = few(*from, first, n > first ? n : first);
      V sum[kTogether] = {V(0), V(0), V(0), V(0)};
      for (int j = 0; j < H; ++j) {
        const V query = r(now, j);
        some.each([&](int i) { sum[i] = fma(query, r(some.value[i], j), sum[i]); });
      }
      for (int i = 0; i < kTogether && first + i < all; ++i)
        r(z_, begin + first + i) = sum[i] * scale;
    });
  }

  /// From de: what the scores give to the states.
  template <class X>
  HD void score_backward(X& x, int n) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), now = x.at(h, -1), d_now = x.at(dh, -1);
    const int begin = first_logit();
    const V scale = V(dot_scale);
    for (int first = 0; first < n; first += kTogether) {
      const Few<X> some = few(x, first, n);
      x.each(units, [=](auto r, int j) {
        some.each([&](int i) {
          const V d = scale * r(z_, begin + first + i);
          r(d_now, j) += d * r(some.value[i], j);
          r(some.gradient[i], j) += d * r(now, j);
        });
      });
    }
  }

  /// Logits become weights; entries that take no part get 0.
  template <class X>
  HD void soften(X& x, int n) const {
    using V = typename X::Number;
    const auto z_ = x.at(z);
    const int begin = first_logit(), m = weighted(n), all = K;
    x.rows(1, [=](auto r, int) {
      V top = r(z_, begin), total(0);
      for (int k = 1; k < m; ++k) top = max(top, r(z_, begin + k));
      for (int k = 0; k < m; ++k) {
        const V power = exp(r(z_, begin + k) - top);
        total += power;
        r(z_, begin + k) = power;
      }
      const V inverse = V(1) / total;
      for (int k = 0; k < all; ++k) r(z_, begin + k) = k < m ? r(z_, begin + k) * inverse : V(0);
    });
  }

  /// Weights become de.
  template <class X>
  HD void soften_backward(X& x, int n) const {
    using V = typename X::Number;
    const auto z_ = x.at(z), dw_ = x.at(dw);
    const int begin = first_logit(), all = K;
    x.rows(1, [=](auto r, int) {
      V dot(0);
      for (int k = 0; k < n; ++k) dot = fma(r(z_, begin + k), r(dw_, k), dot);
      for (int k = 0; k < all; ++k) r(z_, begin + k) *= (k < n ? r(dw_, k) : V(0)) - dot;
    });
  }

  /// Calls f with `inject` as a constant.
  template <class F>
  HD void by_inject(F f) const {
    switch (inject) {
      case Inject::kInsideTanh:
        return f(Constant<Inject::kInsideTanh>());
      case Inject::kOutput:
        return f(Constant<Inject::kOutput>());
      case Inject::kGatedOutput:
        return f(Constant<Inject::kGatedOutput>());
      case Inject::kCell:
        return f(Constant<Inject::kCell>());
      case Inject::kCandidate:
        return f(Constant<Inject::kCandidate>());
    }
  }
  template <Inject kValue>
  struct Constant {
    HD constexpr Inject operator()() const { return kValue; }
  };

  template <Inject kInject, class X>
  HD void forward_units(X& x) const {
    using V = typename X::Number;
    const int H = units;
    const auto z_ = x.at(z), p_ = x.at(p), a_ = x.at(a), c_ = x.at(c), c_prev = x.at(c, -1),
               h_ = x.at(h);
    x.each(H, [=](auto r, int j) {
      const V i = sigmoid(r(z_, kI * H + j)), f = sigmoid(r(z_, kF * H + j));
      const V o = sigmoid(r(z_, kO * H + j)), added = r(a_, j);
      V argument = r(z_, kG * H + j);
      if constexpr (kInject == Inject::kCandidate) argument += added;
      const V g = tanh(argument);
      V cell = fma(f, r(c_prev, j), i * g);
      if constexpr (kInject == Inject::kCell) cell += added;
      V out = cell;
      if constexpr (kInject == Inject::kInsideTanh) out += added;
      out = tanh(out);
      if constexpr (kInject == Inject::kGatedOutput) out += added;
      r(z_, kI * H + j) = i;
      r(z_, kF * H + j) = f;
      r(z_, kG * H + j) = g;
      r(z_, kO * H + j) = o;
      r(c_, j) = cell;
      r(p_, j) = out;
      r(h_, j) = kInject == Inject::kOutput ? fma(o, out, added) : o * out;
    });
  }

  template <Inject kInject, class X>
  HD void backward_units(X& x) const {
    using V = typename X::Number;
    const int H = units;
    const auto z_ = x.at(z), p_ = x.at(p), a_ = x.at(a), c_prev = x.at(c, -1);
    const auto dh_ = x.at(dh), dc_ = x.at(dc), dc_prev = x.at(dc, -1), dy_ = x.at(dy);
    x.each(H, [=](auto r, int j) {
      const V i = r(z_, kI * H + j), f = r(z_, kF * H + j);
      const V g = r(z_, kG * H + j), o = r(z_, kO * H + j), out = r(p_, j);
      V q = out;
      if constexpr (kInject == Inject::kGatedOutput) q = tanh(fma(f, r(c_prev, j), i * g));
      const V d_h = r(dh_, j) + r(dy_, j), d_q = d_h * o;
      const V d_c = fma(d_q, d_tanh(q), r(dc_, j));
      const V d_g = d_c * i * d_tanh(g);
      if constexpr (kInject == Inject::kInsideTanh) r(a_, j) = d_q * d_tanh(q);
      if constexpr (kInject == Inject::kOutput) r(a_, j) = d_h;
      if constexpr (kInject == Inject::kGatedOutput) r(a_, j) = d_q;
      if constexpr (kInject == Inject::kCell) r(a_, j) = d_c;
      if constexpr (kInject == Inject::kCandidate) r(a_, j) = d_g;
      r(z_, kI * H + j) = d_c * g * d_sigmoid(i);
      r(z_, kF * H + j) = d_c * r(c_prev, j) * d_sigmoid(f);
      r(z_, kG * H + j) = d_g;
      r(z_, kO * H + j) = d_h * out * d_sigmoid(o);
      r(dc_prev, j) += d_c * f;
    });
  }

  /// Base rnn: phi(z) takes the place of z.
  template <class X>
  HD void apply(X& x) const {
    using V = typename X::Number;
    switch (activation) {
      case Activation::kTanh:
        return apply(x, [](V u) { return tanh(u); });
      case Activation::kRelu:
        return apply(x, [](V u) { return where_positive(u, u, V(0)); });
      case Activation::kElu:
        return apply(x, [](V u) { return elu(u); });
    }
  }
  template <class X, class Phi>
  HD void apply(X& x, Phi phi) const {
    using V = typename X::Number;
    const bool inside = inject == Inject::kInsideTanh;
    const auto z_ = x.at(z), a_ = x.at(a), h_ = x.at(h);
    x.each(units, [=](auto r, int j) {
      const V added = r(a_, j), u = r(z_, j);
      const V q = phi(inside ? u + added : u);
      r(z_, j) = q;
      r(h_, j) = inside ? q : q + added;
    });
  }

  template <class X>
  HD void differentiate(X& x) const {
    using V = typename X::Number;
    switch (activation) {
      case Activation::kTanh:
        return differentiate(x, [](V q) { return d_tanh(q); });
      case Activation::kRelu:
        return differentiate(x, [](V q) { return where_positive(q, V(1), V(0)); });
      case Activation::kElu:
        return differentiate(x, [](V q) { return d_elu(q); });
    }
  }
  template <class X, class DPhi>
  HD void differentiate(X& x, DPhi d_phi) const {
    using V = typename X::Number;
    const bool inside = inject == Inject::kInsideTanh;
    const auto z_ = x.at(z), a_ = x.at(a), dh_ = x.at(dh), dy_ = x.at(dy);
    x.each(units, [=](auto r, int j) {
      const V d_h = r(dh_, j) + r(dy_, j), d_z = d_h * d_phi(r(z_, j));
      r(z_, j) = d_z;
      r(a_, j) = inside ? d_z : d_h;
    });
  }
};

}  // namespace lookback

#include "cells/rra_declare.h"
