/// Groups of parameters: each learns by its own optimizer, and in a model as if it were alone.
#include "model/optimizer.h"
#include "native/check.h"
#include "native/models.h"

namespace lookback {
namespace {

Spec sgd(double rate) { return spec({{"kind", std::string("sgd")}, {"learningRate", rate}}); }

/// Three parameters of sizes around a cache line, and a way to update them some times.
struct Trial {
  ArenaLayout layout;
  ParamArena<double> params, grads;
  std::unique_ptr<Backend<double>> backend = make_backend<double>(DeviceKind::kCpu, 1);

  Trial() {
    layout.add("one.A", {3, 5});
    layout.add("one.b", {16});
    layout.add("two.A", {7});
    params = ParamArena<double>(layout, "params");
    grads = ParamArena<double>(layout, "grads");
    for (const Segment& segment : layout.segments()) {
      for (int64_t i = 0; i < segment.size; ++i)
        params.at(segment)[i] = noise(1, i + segment.offset);
    }
  }

  void run(Optimizer<double>& optimizer, int64_t updates, double factor = 1) {
    for (int64_t update = 1; update <= updates; ++update) {
      for (const Segment& segment : layout.segments()) {
        for (int64_t i = 0; i < segment.size; ++i) {
          grads.at(segment)[i] = noise(static_cast<uint32_t>(1 + update), i + segment.offset);
        }
      }
      optimizer.drop_frozen(grads);
      const double norm = std::sqrt(backend->sum_squares(grads.size(), grads.data()));
      optimizer.apply(update, factor, norm, params, grads);
    }
  }

  Numbers part(size_t segment) const {
    const Segment& s = layout.segments()[segment];
    return Numbers(params.at(s), params.at(s) + s.size);
  }
  Numbers all() const { return Numbers(params.data(), params.data() + params.size()); }
};

Trial updated(const Spec& main, const std::vector<ParamGroup>& groups, double factor = 1) {
  Trial trial;
  Optimizer<double> optimizer(*trial.backend, main, groups, trial.layout);
  trial.run(optimizer, 20, factor);
  return trial;
}

std::vector<Spec> kinds() {
  const auto kind = [](const char* name) {
    return std::pair("kind", Spec::Value(std::string(name)));
  };
  const std::pair<std::string, Spec::Value> rate = {"learningRate", 0.03};
  return {spec({kind("sgd"), rate, {"momentum", 0.9}}),
          spec({kind("rmsprop"), rate, {"momentum", 0.5}}),
          spec({kind("rmsprop"), rate, {"epsilonInside", true}, {"initialMeanSquare", 1.0}}),
          spec({kind("adam"), rate, {"amsgrad", true}}),
          spec({kind("adamw"), rate}),
          spec({kind("adagrad"), rate, {"epsilon", 0.0}, {"initialAccumulator", 0.1}}),
          spec({kind("adadelta"), rate, {"weightDecay", 0.1}})};
}

TEST(a_group_learns_as_if_all_had_its_optimizer) {
  for (const Spec& main : kinds()) {
    const Numbers plain = updated(main, {}).part(1);
    for (const Spec& own : kinds()) {
      const Trial grouped = updated(main, {{{"two.A", "one.A"}, own}}, 0.5);
      const Trial alone = updated(own, {}, 0.5);
      CHECK(grouped.part(0) == alone.part(0));
      CHECK(grouped.part(2) == alone.part(2));
      CHECK(grouped.part(1) == updated(main, {}, 0.5).part(1));
      CHECK(grouped.part(1) != plain);
    }
  }
}

TEST(gaps_between_parameters_stay_zero) {
  for (const Spec& own : kinds()) {
    const Trial trial = updated(sgd(0.1), {{{"one.A"}, own}, {{"two.A"}, own}});
    double inside = 0, everything = 0;
    for (const double value : trial.all()) everything += std::abs(value);
    for (size_t i = 0; i < 3; ++i) {
      for (const double value : trial.part(i)) inside += std::abs(value);
    }
    CHECK_NEAR(everything, inside, 1e-12 * inside);
  }
}

TEST(a_frozen_group_stays_and_is_no_part_of_the_norm) {
  Spec clipped = sgd(1);
  clipped.set("clipNorm", 0.125);
  const Trial start;
  ParamGroup frozen{{"one.b"}, {}, false};
  Trial trial;
  Optimizer<double> optimizer(*trial.backend, clipped, {frozen}, trial.layout);
  trial.run(optimizer, 1);
  CHECK(trial.part(1) == start.part(1));
  double squares = 0;
  for (const size_t i : {size_t{0}, size_t{2}}) {
    const Numbers before = start.part(i), after = trial.part(i);
    for (size_t k = 0; k < before.size(); ++k) {
      squares += (after[k] - before[k]) * (after[k] - before[k]);
    }
  }
  CHECK_NEAR(std::sqrt(squares), 0.125, 1e-12);
}

TEST(the_norm_is_of_all_groups_together) {
  Spec clipped = sgd(1);
  clipped.set("clipNorm", 0.125);
  CHECK(updated(clipped, {{{"one.A"}, sgd(1)}}).all() == updated(clipped, {}).all());
}

TEST(reset_starts_one_parameter_afresh) {
  const Spec own = kinds()[2];  // its mean square starts at 1
  Trial trial;
  Optimizer<double> optimizer(*trial.backend, own, {}, trial.layout);
  trial.run(optimizer, 3);
  optimizer.reset(1);
  for (const auto& slot : optimizer.slots()) {
    CHECK_EQUAL(std::string(slot.name), std::string("meanSquare"));
    const bool fresh = std::all_of(slot.values, slot.values + slot.segment->size,
                                   [](double value) { return value == 1; });
    CHECK_EQUAL(fresh, slot.segment->name == "one.b");
  }
}

TEST(slots_are_those_of_the_group) {
  Trial trial;
  Spec adam = spec({{"kind", std::string("adam")}, {"amsgrad", true}});
  Optimizer<double> optimizer(*trial.backend, sgd(1), {{{"one.b"}, adam}, {{"two.A"}, kinds()[5]}},
                              trial.layout);
  std::string names;
  for (const auto& slot : optimizer.slots()) names += slot.segment->name + ":" + slot.name + " ";
  CHECK_EQUAL(names, std::string("one.b:firstMoment two.A:sumOfSquares one.b:secondMoment "
                                 "one.b:largestSecondMoment "));
}

TEST(wrong_groups_are_refused) {
  const Trial trial;
  const auto make = [&trial](const Spec& main, const std::vector<ParamGroup>& groups) {
    Optimizer<double>(*trial.backend, main, groups, trial.layout);
  };
  CHECK_THROWS(kOption, "'one.c', which the model has not", make(sgd(1), {{{"one.c"}, sgd(1)}}));
  CHECK_THROWS(kOption, "'one.b' is in two groups",
               make(sgd(1), {{{"one.b"}, sgd(1)}, {{"one.b"}, sgd(2)}}));
  Spec clipped = sgd(1);
  clipped.set("clipNorm", 1.0);
  CHECK_THROWS(kOption, "give it to the main optimizer", make(sgd(1), {{{"one.b"}, clipped}}));
  CHECK_THROWS(kOption, "learningRate is -1", make(sgd(-1), {}));
  Spec divided = spec({{"kind", std::string("adagrad")}, {"epsilon", 0.0}});
  CHECK_THROWS(kOption, "both 0", make(divided, {}));
}

/// A run that is taken up from its snapshot goes on to the bit, whatever the groups keep.
TEST(a_restored_run_with_groups_continues_to_the_bit) {
  const auto start = [] {
    auto made = engine({lstm(5, true), lstm(4), dense(2)}, 3, DType::kFloat32);
    std::vector<ParamGroup> groups;
    groups.push_back({{"lstm_1.W_h"}, kinds()[3]});
    groups.push_back({{"lstm_2.W_h", "lstm_2.W_x"}, kinds()[2]});
    groups.push_back({{"dense_3.b"}, {}, false});
    groups.push_back({{"dense_3.W"}, kinds()[6]});
    made->compile(named("softmaxCrossEntropy"), spec({{"kind", std::string("adam")}}), groups);
    return made;
  };
  const auto add = [](Engine& to) {
    return to.add_data(noise_tensor({24, 5, 3}, 1), int_tensor(std::vector<int32_t>(24, 1)), {});
  };
  const auto whole = start();
  const int64_t data = add(*whole);
  train(*whole, data, first_rows(24), 4, 0.01);
  NamedTensors kept = whole->tensors();
  const Counters counters = whole->counters();
  train(*whole, data, first_rows(24), 4, 0.01);

  const auto resumed = start();
  resumed->set_tensors(std::move(kept));
  resumed->set_counters(counters);
  train(*resumed, add(*resumed), first_rows(24), 4, 0.01);
  CHECK(state_of(*resumed) == state_of(*whole));
}

}  // namespace
}  // namespace lookback
