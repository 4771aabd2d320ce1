#include "parametrization/operations.h"

#include <memory>

#include "base/error.h"
#include "parametrization/scaled_cayley.h"
#include "parametrization/trivialisation.h"

namespace lookback {
namespace {

/// On the caller's thread: these run once in a while, on one matrix.
void multiply(const Gemm<double>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    double* row = g.c + i * g.c_row;
    for (int64_t j = 0; j < g.n; ++j) row[j] = g.beta == 0 ? 0 : g.beta * row[j];
    for (int64_t k = 0; k < g.k; ++k) {
      const double left = g.a[i * g.a_row + k * g.a_col];
      for (int64_t j = 0; j < g.n; ++j) row[j] += left * g.b[k * g.b_row + j * g.b_col];
    }
  }
}

const HostArray& find(const NamedArrays& given, const std::string& operation,
                      const std::string& name) {
  const auto it = given.find(name);
  REQUIRE(it != given.end(), kOption, operation, ": ", name, " is missing");
  return it->second;
}

/// An array [n, ...] of `rank` equal extents; the first one asked for decides n.
const std::vector<double>& square(const NamedArrays& given, const std::string& operation,
                                  const std::string& name, size_t rank, int64_t& n) {
  const HostArray& array = find(given, operation, name);
  if (n == 0 && !array.shape.empty()) n = array.shape.front();
  REQUIRE(array.shape == std::vector<int64_t>(rank, n) && n > 0 && n <= 1 << 14, kShape, operation,
          ": ", name, " has another shape than ", n, rank == 1 ? " numbers" : " rows and columns");
  return array.numbers;
}

NamedArrays resign_operation(const std::string& operation, const Spec& spec,
                             const NamedArrays& given) {
  const double tau = spec.number("tau", 1);
  REQUIRE(tau >= 1, kOption, operation, ": tau is ", tau, "; expected 1 or more");
  int64_t size = 0;
  const std::vector<double>& A = square(given, operation, "A", 2, size);
  const std::vector<double>& d = square(given, operation, "d", 1, size);
  const int n = static_cast<int>(size);
  NamedArrays result;
  result["A"].shape = {n, n};
  require_skew("scornn: A", n, A, result["A"].numbers);
  result["d"] = {{n}, d};
  HostArray flips;
  for (const auto& [k, l] : resign(n, tau, result["A"].numbers, result["d"].numbers)) {
    flips.numbers.push_back(k);
    flips.numbers.push_back(l);
  }
  flips.shape = {static_cast<int64_t>(flips.numbers.size() / 2), 2};
  result["flips"] = std::move(flips);
  result["W"] = {{n, n}, std::vector<double>(A.size())};
  ScaledCayley("scornn", "W", n, false)
      .build(result["A"].numbers, result["d"].numbers, result["W"].numbers, multiply);
  return result;
}

/// P, base and the state between updates, as a parametrization holds them.
class DynamicMatrix {
 public:
  DynamicMatrix(const std::string& operation, const Spec& spec, const NamedArrays& given)
      : operation_(operation) {
    for (const char* name : {"P", "base"}) params_.push_back(square(given, operation, name, 2, n_));
    matrix_ = std::make_unique<Trivialisation>(trivialisation_options(spec, static_cast<int>(n_)),
                                               std::vector<int>{0, 1});
    for (const ParametrizationBuffer& buffer : matrix_->buffers()) {
      const auto it = given.find(buffer.name);
      size_t size = 1;
      for (const int extent : buffer.shape) size *= static_cast<size_t>(extent);
      buffers_.emplace_back(size, buffer.initial);
      if (it == given.end()) continue;
      REQUIRE(it->second.numbers.size() == size, kShape, operation, ": ", buffer.name, " holds ",
              it->second.numbers.size(), " numbers; expected ", size);
      buffers_.back() = it->second.numbers;
    }
  }

  NamedArrays build() {
    matrix_->settle(params_, buffers_, false, multiply);
    const HostArrays derived = made();
    NamedArrays result;
    result["P"] = {{n_, n_}, params_[0]};
    result["base"] = {{n_, n_}, params_[1]};
    result["W"] = {{n_, n_}, derived[0]};
    const std::vector<ParametrizationBuffer> buffers = matrix_->buffers();
    for (size_t i = 0; i < buffers.size(); ++i)
      result[buffers[i].name] = {{buffers[i].shape.begin(), buffers[i].shape.end()}, buffers_[i]};
    return result;
  }

  NamedArrays gradient(const NamedArrays& given) {
    made();
    const std::vector<double>& G = square(given, operation_, "G", 2, n_);
    HostArrays d_params{std::vector<double>(G.size()), {}};
    matrix_->adjoint(params_, {G}, d_params, multiply);
    return {{"P", {{n_, n_}, d_params[0]}}};
  }

 private:
  HostArrays made() {
    HostArrays derived(2, std::vector<double>(params_[0].size()));
    matrix_->build(params_, buffers_, derived, multiply);
    return derived;
  }

  std::string operation_;
  int64_t n_ = 0;
  HostArrays params_, buffers_;
  std::unique_ptr<Trivialisation> matrix_;
};

}  // namespace

NamedArrays run_operation(const std::string& operation, const Spec& spec,
                          const NamedArrays& given) {
  if (operation == "scornn.resign") return resign_operation(operation, spec, given);
  if (operation == "exprnn.build") return DynamicMatrix(operation, spec, given).build();
  if (operation == "exprnn.gradient") return DynamicMatrix(operation, spec, given).gradient(given);
  fail(ErrorCode::kOption, text("operation '", operation, "' is unknown"));
}

}  // namespace lookback
