/// Normalisation sites inside a recurrent step, written over an execution context (see
/// cells/cell.h).
///
///   kBatch  per unit over the rows of the batch (Ioffe and Szegedy 2015): biased variance, running
///   statistics kLayer  per row over its features (Ba, Kiros, Hinton 2016): no running statistics,
///   rows stay independent kNone   the identity
///
///   y = gamma u^ + beta,  u^ = (u - mean) / sqrt(var + eps)
///   du = rstd (D - mean(D) - u^ mean(D u^)),  D = gamma dy;  evaluation with running statistics:
///   du = rstd D dgamma += dy u^,  dbeta += dy
#pragma once

#include "cells/cell.h"
#include "math/scalar.h"

namespace lookback {

enum class NormKind { kNone, kLayer, kBatch };

template <NormKind kKind>
struct NormSite {
  bool on = false;
  int features = 0;
  double eps = 1e-5;
  Vector gamma, beta;    ///< beta.id -1: no shift
  Slot d_gamma, d_beta;  ///< per-row sums
  Slot row_stats;        ///< kLayer: mean and rstd of each row
  BatchSite batch;       ///< kBatch

  /// What is needed to normalise numbers at the context's step.
  template <class X>
  struct Reader {
    using V = typename X::Number;
    using S = typename X::S;
    bool on;
    const S *gamma, *beta, *mean_of, *rstd_of;
    typename X::Column stats;

    template <class Row>
    HD V mean(Row r, int j) const {
      if constexpr (kKind == NormKind::kLayer) return r(stats, 0);
      return V(mean_of[j]);
    }
    template <class Row>
    HD V rstd(Row r, int j) const {
      if constexpr (kKind == NormKind::kLayer) return r(stats, 1);
      return V(rstd_of[j]);
    }
    template <class Row>
    HD V hat(Row r, int j, V u) const {
      const V hat = (u - mean(r, j)) * rstd(r, j);
      // Statistics of other rows would let padding grow from step to step until it is not finite.
      if constexpr (kKind == NormKind::kBatch) return select(r.active(), hat, V(0));
      return hat;
    }
    template <class Row>
    HD V operator()(Row r, int j, V u) const {
      if constexpr (kKind == NormKind::kNone) return u;
      if (!on) return u;
      const V up = hat(r, j, u);
      return beta != nullptr ? fma(V(gamma[j]), up, V(beta[j])) : V(gamma[j]) * up;
    }
  };

  template <class X>
  HD Reader<X> reader(const X& x) const {
    Reader<X> reader{on, nullptr, nullptr, nullptr, nullptr, {}};
    if constexpr (kKind != NormKind::kNone) {
      if (!on) return reader;
      reader.gamma = x.vector(gamma);
      if (beta.id >= 0) reader.beta = x.vector(beta);
      // Sites with statistics of their own shape (a window's entries) keep them elsewhere.
      if (kKind == NormKind::kLayer && row_stats.id >= 0) reader.stats = x.at(row_stats);
      if constexpr (kKind == NormKind::kBatch) {
        reader.mean_of = x.mean(batch);
        reader.rstd_of = x.rstd(batch);
      }
    }
    return reader;
  }

  /// Takes the statistics of `value(r, j)` at this step.
  template <class X, class Value>
  HD void measure(X& x, Value value) const {
    using V = typename X::Number;
    if constexpr (kKind == NormKind::kNone) return;
    if (!on) return;
    if constexpr (kKind == NormKind::kBatch) {
      if (x.training())
        x.moments(batch, features, 1, [=](auto r, int j, int) { return value(r, j); });
    } else if constexpr (kKind == NormKind::kLayer) {
      const auto stats = x.at(row_stats);
      const int F = features;
      const V epsilon = V(eps);
      x.rows(1, [=](auto r, int) {
        V sum(0), squares(0);
        for (int j = 0; j < F; ++j) sum += value(r, j);
        const V mean = sum / V(F);
        for (int j = 0; j < F; ++j) {
          const V apart = value(r, j) - mean;
          squares = fma(apart, apart, squares);
        }
        r(stats, 0) = mean;
        r(stats, 1) = V(1) / sqrt(squares / V(F) + epsilon);
      });
    }
  }

  /// d (units [begin, begin + features) of column d) turns from the gradient of y into that of u;
  /// `hat(r, j)` is u^.
  template <class X, class Column, class Hat>
  HD void adjoint(X& x, Column d, int begin, Hat hat) const {
    using V = typename X::Number;
    if constexpr (kKind == NormKind::kNone) return;
    if (!on) return;
    const int F = features;
    const auto scale = x.vector(gamma);
    const bool shift = beta.id >= 0;
    const auto sum_gamma = x.at(d_gamma), sum_beta = shift ? x.at(d_beta) : sum_gamma;
    if constexpr (kKind == NormKind::kBatch) {
      const auto rstd = x.rstd(batch);
      if (x.training()) {
        const auto totals = x.sums(F, [=](auto r, int j, V& first, V& second) {
          const V D = V(scale[j]) * r(d, begin + j);
          first = D;
          second = D * hat(r, j);
        });
        const V inverse = V(1) / V(x.batch_rows());
        x.each(F, [=](auto r, int j) {
          const V dy = r(d, begin + j), u = hat(r, j);
          r(sum_gamma, j) += dy * u;
          if (shift) r(sum_beta, j) += dy;
          const V du = V(scale[j]) * dy - V(totals[j]) * inverse - u * (V(totals[F + j]) * inverse);
          r(d, begin + j) = select(r.active(), V(rstd[j]) * du, V(0));
        });
      } else {
        x.each(F, [=](auto r, int j) {
          const V dy = r(d, begin + j);
          r(sum_gamma, j) += dy * hat(r, j);
          if (shift) r(sum_beta, j) += dy;
          r(d, begin + j) = V(rstd[j]) * V(scale[j]) * dy;
        });
      }
    } else if constexpr (kKind == NormKind::kLayer) {
      const auto stats = x.at(row_stats);
      x.rows(1, [=](auto r, int) {
        V first(0), second(0);
        for (int j = 0; j < F; ++j) {
          const V dy = r(d, begin + j), u = hat(r, j), D = V(scale[j]) * dy;
          r(sum_gamma, j) += dy * u;
          if (shift) r(sum_beta, j) += dy;
          first += D;
          second = fma(D, u, second);
        }
        first = first / V(F);
        second = second / V(F);
        for (int j = 0; j < F; ++j) {
          const V D = V(scale[j]) * r(d, begin + j);
          r(d, begin + j) = r(stats, 1) * (D - first - hat(r, j) * second);
        }
      });
    }
  }
};

}  // namespace lookback
