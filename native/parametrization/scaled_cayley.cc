#include "parametrization/scaled_cayley.h"

#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

void require_signs(const std::string& owner, const std::vector<double>& d) {
  for (size_t j = 0; j < d.size(); ++j) {
    REQUIRE(std::abs(d[j]) == 1, kData, owner, ": d holds ", d[j], " at position ", j,
            "; expected 1 or -1");
  }
}

}  // namespace

void ScaledCayley::build(const std::vector<double>& A, const std::vector<double>& d,
                         std::vector<double>& W, const Multiply& multiply) {
  const auto n = static_cast<size_t>(n_);
  require_signs(owner_, d);
  if (packed_) {
    unpack_skew(n_, A, skew_);
  } else {
    require_skew(skew_title_, n_, A, skew_);
  }
  const std::vector<double>& Z = transform_.build(title_, n_, skew_, multiply);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) W[i * n + j] = Z[i * n + j] * d[j];
  if (!watch_.due()) return;
  watch_.look(owner_.c_str(), matrix_.c_str(), n_, W,
              "A has grown too large: lower its learning rate, or re-sign it", multiply);
}

void ScaledCayley::adjoint(const std::vector<double>& d, const std::vector<double>& dW,
                           std::vector<double>& dA, const Multiply& multiply) {
  const auto n = static_cast<size_t>(n_);
  H_.resize(dW.size());
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) H_[i * n + j] = dW[i * n + j] * d[j];
  add_skew_gradient(n_, transform_.adjoint(H_, multiply), 1, packed_, dA);
}

Flips resign(int n, double tau, std::vector<double>& A, std::vector<double>& d) {
  require_signs("scornn", d);
  const auto at = [&](int i, int j) -> double& { return A[static_cast<size_t>(i * n + j)]; };
  Flips flips;
  for (;;) {
    int k = 0, l = 0;
    double largest = tau;
    for (int i = 0; i < n; ++i) {
      for (int j = i + 1; j < n; ++j) {
        if (!(std::abs(at(i, j)) > largest)) continue;
        largest = std::abs(at(i, j));
        k = i;
        l = j;
      }
    }
    if (k == l) return flips;
    // Each flip multiplies det(I + Z) <= 2^n by a^2, but rounding may keep |a| at tau itself.
    REQUIRE(flips.size() < 1000 + 100 * static_cast<size_t>(n), kNumeric,
            "re-signing A has not brought its entries to ", tau, " in size in ", flips.size(),
            " flips; expected an end long before. Give a larger tau");
    const double a = at(k, l);
    // The principal pivot transform on {k, l}; the lower triangle is the upper one's negative.
    for (int i = 0; i < n; ++i) {
      for (int j = i + 1; j < n; ++j) {
        if (i == k || i == l || j == k || j == l) continue;
        at(i, j) -= (at(k, i) * at(l, j) - at(l, i) * at(k, j)) / a;
        at(j, i) = -at(i, j);
      }
    }
    for (int j = 0; j < n; ++j) {
      if (j == k || j == l) continue;
      const double of_k = at(k, j), of_l = at(l, j);
      at(k, j) = -of_l / a;
      at(l, j) = of_k / a;
      at(j, k) = -at(k, j);
      at(j, l) = -at(l, j);
    }
    at(k, l) = -1 / a;
    at(l, k) = 1 / a;
    d[static_cast<size_t>(k)] = -d[static_cast<size_t>(k)];
    d[static_cast<size_t>(l)] = -d[static_cast<size_t>(l)];
    flips.emplace_back(k, l);
  }
}

std::vector<int> ScornnWeights::settle(HostArrays& params, HostArrays&, bool, const Multiply&) {
  if (resign_above_ <= 0) return {};
  std::vector<double> A;
  if (packed_) {
    unpack_skew(n_, params[0], A);
  } else {
    require_skew("scornn: A", n_, params[0], A);
  }
  if (resign(n_, resign_above_, A, params[1]).empty()) return {};
  if (packed_) {
    for (int i = 0; i < n_; ++i)
      for (int j = i + 1; j < n_; ++j)
        params[0][static_cast<size_t>(packed_index(n_, i, j))] = A[static_cast<size_t>(i * n_ + j)];
  } else {
    params[0] = std::move(A);
  }
  return {0};
}

}  // namespace lookback
