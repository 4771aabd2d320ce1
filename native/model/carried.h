/// The states of all recurrent layers of a model, handed on from pass to pass (Pass::carry), given
/// and told; likewise their gradients (Pass::carry_gradients).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/carrier.h"
#include "model/host_tensor.h"
#include "model/model.h"

namespace lookback {

template <class S>
class Carried {
 public:
  explicit Carried(Model<S>& model, StateKind kind = StateKind::kValues)
      : model_(model), kind_(kind), carriers_(model.carriers()) {}

  /// Room for `batch` rows without states. ERR_STATE where a layer cannot hand states on, and where
  /// none has any; what was held stays then.
  void hold(int64_t batch);
  int64_t batch() const { return batch_; }
  /// Whether the next pass goes on from states.
  bool started() const { return started_; }
  /// Passes begin afresh.
  void clear() { set_started(false); }
  /// After a pass that is to be gone on from: its states become the held ones.
  void keep();

  /// Names and shapes of the states of `rows` rows, and zeros.
  NamedTensors make(int64_t rows);
  /// ERR_SHAPE or ERR_OPTION unless `states` are those of `rows` rows, all of them, ERR_DATA where
  /// they are not finite. Gradients may be missing.
  void check(const NamedTensors& states, int64_t rows);
  /// The next pass begins from rows `first`.. of checked states, and from zero where one is
  /// missing.
  void begin_from(const NamedTensors& states, int64_t first);
  /// Copies the states of the batch to rows `first`.. of `states`, as `make` gives them.
  void tell(NamedTensors& states, int64_t first);

  /// All states; none where no pass was kept.
  NamedTensors snapshot();
  /// As `snapshot` gave them; where it throws, what was held stays.
  void restore(NamedTensors states);

  /// What all layers hold.
  struct Held {
    std::vector<HeldStates<S>> layers;
    int64_t batch = 0;
    bool started = false;
  };
  Held nothing() const { return {std::vector<HeldStates<S>>(carriers_.size()), 0, false}; }
  void swap(Held& other) noexcept;

 private:
  struct Entry {
    std::string name;
    StreamState<S>* state;
  };
  std::vector<Entry> entries();
  void set_started(bool started);

  Model<S>& model_;
  StateKind kind_;
  std::vector<NamedCarrier<S>> carriers_;
  int64_t batch_ = 0;
  bool started_ = false;
};

/// Lends the states of a model to another run; they come back as they were.
template <class S>
class CarriedLoan {
 public:
  explicit CarriedLoan(Carried<S>& carried) : carried_(carried), kept_(carried.nothing()) {
    carried_.swap(kept_);
  }
  ~CarriedLoan() { carried_.swap(kept_); }
  CarriedLoan(const CarriedLoan&) = delete;
  CarriedLoan& operator=(const CarriedLoan&) = delete;

 private:
  Carried<S>& carried_;
  typename Carried<S>::Held kept_;
};

}  // namespace lookback
