/// Operations on the parameters of a cell outside of any model, by name, in double.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/spec.h"
#include "parametrization/parametrization.h"

namespace lookback {

/// A row-major array.
struct HostArray {
  std::vector<int64_t> shape;
  std::vector<double> numbers;
};
using NamedArrays = std::map<std::string, HostArray>;

/// "scornn.resign": A [n,n], d [n]; option tau. Gives A, d, W and flips [count,2].
/// "exprnn.build": P, base [n,n] and, but for the first time, what the last one gave as rebase and
/// rebaseFrom; options of dynamic trivialisation. Moves the base where that is due. Gives all
/// these, and W. "exprnn.gradient": what "exprnn.build" gave, and G [n,n] = dL/dW. Gives P, its
/// gradient. ERR_OPTION for an unknown operation or a missing array, ERR_SHAPE, ERR_DATA,
/// ERR_NUMERIC.
NamedArrays run_operation(const std::string& operation, const Spec& spec, const NamedArrays& given);

}  // namespace lookback
