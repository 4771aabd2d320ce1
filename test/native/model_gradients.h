/// Gradients of whole models against central differences. For the bounds see ops_test.cc.
#pragma once

#include <functional>

#include "native/check.h"
#include "native/models.h"

namespace lookback {

constexpr double kModelStep = 1e-6;
/// As in ops_test.cc, times ten for the length of the chain of operations.
constexpr double kModelBound = 1e-7;

/// Checks gradients of sum(w * output) for fixed noise w against central differences, for x and
/// every parameter.
inline void check_gradients(const std::vector<LayerSpec>& layers, std::vector<int64_t> x_shape,
                            const std::optional<std::vector<int32_t>>& lengths) {
  const auto made = engine(layers, x_shape.back());
  const HostTensor x = noise_tensor(x_shape, 1);
  HostTensor weights;
  const auto value = [&](const HostTensor& at) {
    // Dropout must draw the same masks each time.
    made->set_counters({0, 0});
    const HostTensor y = made->forward(copy_of(at), lengths, true);
    if (weights.size() == 0) weights = noise_tensor(y.shape, 2);
    const Numbers w = numbers_of(weights), out = numbers_of(y);
    return std::inner_product(w.begin(), w.end(), out.begin(), 0.0);
  };
  value(x);
  const Numbers dx = numbers_of(made->backward(copy_of(weights)));
  const NamedTensors gradients = made->gradients();
  const auto difference = [&](double& place, const std::function<double()>& f) {
    const double kept = place;
    place = kept + kModelStep;
    const double up = f();
    place = kept - kModelStep;
    const double down = f();
    place = kept;
    return (up - down) / (2 * kModelStep);
  };
  HostTensor at = copy_of(x);
  auto& x_numbers = std::get<Buffer<double>>(at.data);
  for (int64_t i = 0; i < x_numbers.size(); ++i) {
    CHECK_NEAR(dx[static_cast<size_t>(i)], difference(x_numbers[i], [&] { return value(at); }),
               kModelBound);
  }
  for (const NamedTensor& gradient : gradients) {
    Numbers param;
    for (const NamedTensor& each : made->tensors()) {
      if (each.name == gradient.name) param = numbers_of(each.tensor);
    }
    const auto set = [&] {
      NamedTensors one;
      one.push_back({NamedTensor::Role::kParam, gradient.name,
                     copy_tensor(gradient.tensor.shape, param.data(), "a parameter")});
      made->set_tensors(std::move(one));
    };
    const Numbers expected = numbers_of(gradient.tensor);
    for (size_t i = 0; i < param.size(); ++i) {
      const double measured = difference(param[i], [&] {
        set();
        return value(x);
      });
      CHECK_NEAR(expected[i], measured, kModelBound);
    }
    set();
  }
}

}  // namespace lookback
