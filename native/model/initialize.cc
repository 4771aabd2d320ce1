#include "model/initialize.h"

#include <algorithm>
#include <cmath>

#include "base/arena.h"
#include "base/error.h"
#include "base/rng.h"
#include "ops/linalg.h"

namespace lookback {
namespace {

double uniform(uint64_t seed, uint32_t stream, int64_t index) {
  return uniform_at(seed, RandomUse::kInitialise, stream, static_cast<uint64_t>(index));
}

/// Standard normal, by Box and Muller from numbers 2 * index and 2 * index + 1 of the stream.
double normal(uint64_t seed, uint32_t stream, int64_t index) {
  constexpr double kTwoPi = 6.283185307179586;
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform(seed, stream, 2 * index)));
  return radius * std::cos(kTwoPi * uniform(seed, stream, 2 * index + 1));
}

template <class S>
void fill_orthogonal(const ParamInfo& info, uint64_t seed, uint32_t stream, S* values) {
  REQUIRE(info.shape.size() == 2, kInternal, "parameter ", info.name,
          " asks for an orthogonal start but is not a matrix; please report this");
  const int64_t rows = info.shape[0], cols = info.shape[1];
  Buffer<double> matrix(checked_mul(rows, cols, info.name.c_str()), info.name.c_str());
  for (int64_t i = 0; i < matrix.size(); ++i) matrix[i] = normal(seed, stream, i);
  orthogonalise(rows, cols, matrix.data());
  std::transform(matrix.data(), matrix.data() + matrix.size(), values,
                 [](double value) { return static_cast<S>(value); });
}

}  // namespace

template <class S>
void initialize(const ParamInfo& info, uint64_t seed, uint32_t stream, S* values) {
  const int64_t size = element_count(info.shape, info.name.c_str());
  switch (info.init.kind) {
    case Initializer::kConstant:
      std::fill_n(values, size, static_cast<S>(info.init.value));
      break;
    case Initializer::kUniform:
      for (int64_t i = 0; i < size; ++i) {
        values[i] = static_cast<S>((2.0 * uniform(seed, stream, i) - 1.0) * info.init.value);
      }
      break;
    case Initializer::kNormal:
      for (int64_t i = 0; i < size; ++i) {
        values[i] = static_cast<S>(normal(seed, stream, i) * info.init.value);
      }
      break;
    case Initializer::kOrthogonal:
      fill_orthogonal(info, seed, stream, values);
      break;
    case Initializer::kIdentity:
      REQUIRE(info.shape.size() == 2, kInternal, "parameter ", info.name,
              " asks for an identity but is not a matrix; please report this");
      for (int64_t i = 0; i < size; ++i)
        values[i] = static_cast<S>(i / info.shape[1] == i % info.shape[1] ? 1 : 0);
      break;
    case Initializer::kCustom: {
      Buffer<double> numbers(size, info.name.c_str());
      info.init.fill([&](int64_t i) { return uniform(seed, stream, i); }, numbers.data());
      std::transform(numbers.data(), numbers.data() + size, values,
                     [](double value) { return static_cast<S>(value); });
      break;
    }
  }
  const int64_t row_size = info.shape.empty() || info.shape[0] == 0 ? 0 : size / info.shape[0];
  for (const Initializer::Rows& rows : info.init.rows) {
    std::fill(values + rows.begin * row_size, values + rows.end * row_size,
              static_cast<S>(rows.value));
  }
}

Initializer initializer_named(const std::string& name, const ParamInfo& param) {
  const bool matrix = param.shape.size() == 2;
  const auto out = static_cast<double>(param.shape.front()),
             in = static_cast<double>(param.shape.back());
  const auto made = [](Initializer::Kind kind, double value) {
    Initializer init;
    init.kind = kind;
    init.value = value;
    return init;
  };
  if (name == "zeros") return made(Initializer::kConstant, 0);
  if (name == "ones") return made(Initializer::kConstant, 1);
  if (name == "randomUniform") return made(Initializer::kUniform, 0.05);
  if (name == "randomNormal") return made(Initializer::kNormal, 0.05);
  REQUIRE(matrix, kOption, "initializer '", name, "' is for matrices, and ", param.name,
          " is a vector; use 'zeros', 'ones', 'randomUniform' or 'randomNormal'");
  if (name == "glorotUniform") return made(Initializer::kUniform, std::sqrt(6 / (in + out)));
  if (name == "heUniform") return made(Initializer::kUniform, std::sqrt(6 / in));
  if (name == "lecunUniform") return made(Initializer::kUniform, std::sqrt(3 / in));
  if (name == "orthogonal") return made(Initializer::kOrthogonal, 0);
  if (name == "identity") return made(Initializer::kIdentity, 0);
  fail(ErrorCode::kOption, "there is no initializer '" + name + "'");
}

template void initialize(const ParamInfo&, uint64_t, uint32_t, float*);
template void initialize(const ParamInfo&, uint64_t, uint32_t, double*);

}  // namespace lookback
