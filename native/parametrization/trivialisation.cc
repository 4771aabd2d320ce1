#include "parametrization/trivialisation.h"

#include <algorithm>

#include "base/error.h"

namespace lookback {
namespace {

/// Positions among the buffers, and among the numbers of the first.
enum { kRebase, kFrom };
enum { kLeftOver, kSinceProjection, kJustRebased };

/// A becomes triu(P, 1) - triu(P, 1)^T.
void skew_of(int n, const std::vector<double>& P, std::vector<double>& A) {
  A.resize(P.size());
  for (int i = 0; i < n; ++i) {
    A[static_cast<size_t>(i * n + i)] = 0;
    for (int j = i + 1; j < n; ++j) {
      A[static_cast<size_t>(i * n + j)] = P[static_cast<size_t>(i * n + j)];
      A[static_cast<size_t>(j * n + i)] = -P[static_cast<size_t>(i * n + j)];
    }
  }
}

const std::string kTitle = "exprnn, matrix W";

}  // namespace

TrivialisationOptions trivialisation_options(const Spec& spec, int n) {
  constexpr int kMany = 1 << 20;
  TrivialisationOptions options;
  options.units = n;
  options.cayley = spec.choice("map", {"expm", "cayley"}) == 1;
  options.dynamic = spec.choice("mode", {"static", "dynamic"}) == 1;
  options.rebase_every = spec.integer("rebaseEvery", 100, 0, kMany);
  options.reproject_every = spec.integer("reprojectEvery", 100, 1, kMany);
  options.stale_gradient = spec.choice("rebaseGradient", {"exact", "stale"}) == 1;
  options.reset_on_rebase = spec.flag("resetOnRebase", false);
  return options;
}

void project_orthogonal(const std::string& owner, int n, std::vector<double>& matrix,
                        const Multiply& multiply) {
  constexpr double kNear = 0.1, kDone = 1e-14;
  const auto size = static_cast<size_t>(n);
  std::vector<double> square(size * size), next(size * size);
  const double start = orthogonality_error(n, matrix, square, multiply);
  REQUIRE(start <= kNear, kNumeric, owner, " is not nearly orthogonal: max|B^T B - I| is ", start,
          "; expected at most ", kNear, ". Restore a checkpoint");
  double error = start;
  for (int step = 0; step < 8 && error > kDone; ++step) {
    multiply({n, n, n, matrix.data(), 1, n, matrix.data(), n, 1, 0, square.data(), n});
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j)
        square[i * size + j] = ((i == j ? 3 : 0) - square[i * size + j]) / 2;
    multiply({n, n, n, matrix.data(), n, 1, square.data(), n, 1, 0, next.data(), n});
    matrix.swap(next);
    error = orthogonality_error(n, matrix, square, multiply);
  }
}

std::vector<ParametrizationBuffer> Trivialisation::buffers() const {
  if (!options_.dynamic) return {};
  std::vector<ParametrizationBuffer> list = {{"rebase", {3}, 0}};
  if (options_.stale_gradient) list.push_back({"rebaseFrom", {options_.units, options_.units}, 0});
  return list;
}

const std::vector<double>& Trivialisation::map(const std::vector<double>& A,
                                               const Multiply& multiply) {
  if (options_.cayley) return cayley_.build(kTitle, options_.units, A, multiply);
  return exponential_.build(kTitle, options_.units, A, multiply);
}

void Trivialisation::build(const HostArrays& params, HostArrays& buffers, HostArrays& derived,
                           const Multiply& multiply) {
  const int n = options_.units;
  skew_of(n, params[0], derived[1]);
  const std::vector<double>& Z = map(derived[1], multiply);
  multiply({n, n, n, params[1].data(), n, 1, Z.data(), n, 1, 0, derived[0].data(), n});
  if (watch_.due()) {
    watch_.look("exprnn", "W", n, derived[0],
                "The base is not orthogonal, or P has grown too large: lower its learning rate",
                multiply);
  }
  // What `adjoint` differentiates at.
  const bool stale = options_.dynamic && options_.stale_gradient && buffers[kRebase][kJustRebased];
  if (!stale) return;
  skew_of(n, buffers[kFrom], skew_);
  map(skew_, multiply);
}

void Trivialisation::adjoint(const HostArrays& params, const HostArrays& d_derived,
                             HostArrays& d_params, const Multiply& multiply) {
  const int n = options_.units;
  H_.resize(params[1].size());
  multiply({n, n, n, params[1].data(), 1, n, d_derived[0].data(), n, 1, 0, H_.data(), n});
  const std::vector<double>& X =
      options_.cayley ? cayley_.adjoint(H_, multiply) : exponential_.adjoint(H_, multiply);
  const double sign = options_.cayley ? -1 : 1;
  for (int i = 0; i < n; ++i) {
    for (int j = i + 1; j < n; ++j) {
      d_params[0][static_cast<size_t>(i * n + j)] +=
          sign * (X[static_cast<size_t>(i * n + j)] - X[static_cast<size_t>(j * n + i)]);
    }
  }
}

ProductForm Trivialisation::product_form() const {
  using Kind = ProductForm::Kind;
  if (options_.dynamic && options_.stale_gradient) return {};
  return {options_.cayley ? Kind::kBasedCayley : Kind::kBasedExponential, options_.units};
}

std::vector<int> Trivialisation::settle(HostArrays& params, HostArrays& buffers, bool first,
                                        const Multiply& multiply) {
  if (!options_.dynamic) return {};
  std::vector<double>& book = buffers[kRebase];
  if (first && book[kLeftOver] != 0) return {};
  book[kJustRebased] = 0;
  if (book[kLeftOver] < 0) return {};
  if (book[kLeftOver] > 0) {
    book[kLeftOver] -= 1;
    if (book[kLeftOver] > 0) return {};
  }
  const int n = options_.units;
  skew_of(n, params[0], skew_);
  const std::vector<double>& Z = map(skew_, multiply);
  std::vector<double> W(params[1].size());
  multiply({n, n, n, params[1].data(), n, 1, Z.data(), n, 1, 0, W.data(), n});
  book[kSinceProjection] += 1;
  if (book[kSinceProjection] >= options_.reproject_every) {
    project_orthogonal("exprnn, matrix base", n, W, multiply);
    book[kSinceProjection] = 0;
  }
  book[kJustRebased] = 1;
  book[kLeftOver] = options_.rebase_every > 0 ? options_.rebase_every : -1;
  if (options_.stale_gradient) buffers[kFrom] = params[0];
  params[1] = std::move(W);
  std::fill(params[0].begin(), params[0].end(), 0.0);
  return options_.reset_on_rebase ? std::vector<int>{0} : std::vector<int>{};
}

}  // namespace lookback
