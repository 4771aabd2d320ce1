/// Whole training steps: gather, forward, loss, backward, clip, update. One call runs as many as it
/// is given.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "model/carried.h"
#include "model/dataset.h"
#include "model/loss.h"
#include "model/model.h"
#include "model/optimizer.h"

namespace lookback {

/// Sums over the terms of the loss (rows, or their valid steps) that took part.
struct Sums {
  int64_t rows = 0;
  int64_t steps = 0;  ///< batches
  double weight = 0;  ///< of all terms: what `loss` is to be divided by
  double count = 0;   ///< of all terms: what `hits` and `absolute` are to be divided by
  double loss = 0;
  double hits = 0;
  double absolute = 0;
  double seconds = 0;

  void add(const Sums& batch) {
    rows += batch.rows;
    steps += batch.steps;
    weight += batch.weight;
    count += batch.count;
    loss += batch.loss;
    hits += batch.hits;
    absolute += batch.absolute;
  }
};
using Progress = std::function<void(const Sums&)>;

/// What continues a run bit for bit, beside the tensors.
struct Counters {
  int64_t updates = 0;  ///< optimizer updates done
  int64_t draws = 0;    ///< training passes done; numbers the dropout masks
};

/// How batches that follow each other belong together.
struct Continuing {
  /// Row b of a batch goes on where row b of the one before has ended, states without a gradient.
  bool stateful = false;
  /// Steps after a start from no state whose outputs do not count in the loss.
  int64_t burn_in = 0;
};

/// Given and wanted states of a pass.
struct StateCall {
  std::optional<NamedTensors> initial;
  bool wanted = false;
  NamedTensors final;  ///< where wanted
};

struct TrainCall {
  const uint32_t* rows = nullptr;  ///< row numbers in the order of use
  int64_t count = 0;
  int64_t batch_size = 0;
  double rate_factor = 0;  ///< on the learning rate of every group
  Continuing continuing = {};
  int64_t accumulate = 1;  ///< batches whose gradients make one update
};

/// Trains one model. Every failure leaves parameters, running statistics and counters as they were
/// after the last completed update; so it does the optimizer's slots, unless it was the update
/// itself that made a parameter infinite.
template <class S>
class Trainer {
 public:
  Trainer(Backend<S>& backend, Model<S>& model);

  /// Sets loss and optimizers; forgets slots and update count.
  void compile(const Spec& loss, const Spec& optimizer, const std::vector<ParamGroup>& groups);
  /// What data for this model has to fit; before `compile` targets are as the outputs.
  DataShape data_shape() const;
  bool compiled() const { return optimizer_.has_value(); }
  Optimizer<S>& optimizer() { return *optimizer_; }
  Counters& counters() { return counters_; }

  /// Polled between batches and, by the backend, inside the time loops; null: never cancelled.
  void set_cancel(const std::atomic<bool>* cancel);

  /// ERR_STATE before `compile` or where the data has no y for the loss; ERR_DATA for a row out of
  /// range; ERR_NUMERIC for a loss, gradient or parameter that is not finite; ERR_ABORTED.
  Sums train(const Dataset<S>& data, const TrainCall& call, const Progress& progress);
  /// `stateful`: begins from no states, and leaves those of training alone.
  Sums evaluate(const Dataset<S>& data, int64_t batch_size, const Continuing& continuing = {});
  /// Outputs of all rows in order, [n, ...output].
  HostTensor predict(const Dataset<S>& data, int64_t batch_size, StateCall* states = nullptr);
  /// Those that stateful training goes on from.
  Carried<S>& carried() { return carried_; }

  /// The open loop. x [B, T, C], checked here; keeps what `backward` needs until the next pass of
  /// any kind.
  HostTensor forward(HostTensor x, std::optional<std::vector<int32_t>> lengths, bool training,
                     StateCall* states = nullptr, std::optional<HostTensor> resets = {});
  /// Adds to the gradients; returns that of x. Once after each `forward` (ERR_STATE). `states`: the
  /// gradient of the states behind the pass, zero where missing, and, where wanted, of the states
  /// that it was given (ERR_STATE for none).
  HostTensor backward(HostTensor d_output, StateCall* states = nullptr);
  /// Updates from the gradients and clears them. ERR_STATE before a `backward`.
  void step(double rate_factor);
  /// Parameters have changed: the last `forward` can no longer be gone back through.
  void forget_pass() { open_ = false; }

  /// Bytes of the buffers of this object (the model counts its own).
  int64_t bytes() const;

 private:
  /// Where the numbers of the batch at hand live.
  struct Batch {
    Buffer<S> x, targets, weights;
    Buffer<S> term_weights;  ///< those of the loss
    int64_t weight_size = 0;
    Buffer<int32_t> labels;
    std::vector<int32_t> lengths;  ///< the host's
    Buffer<int32_t> resets;        ///< likewise
    int64_t burn_in = 0;           ///< first steps of every row that weigh nothing
  };

  /// The terms of a batch's loss.
  struct Terms {
    int64_t size = 0;
    int64_t outputs = 0;
    const S* weights = nullptr;
    double weight = 0, count = 0;
  };

  void require_ready(const Dataset<S>& data) const;
  void require_continuing(const Continuing& continuing, int64_t rows, int64_t steps,
                          int64_t batch_size) const;
  Pass continued(Pass pass, const Continuing& continuing);
  Pass gather(const Dataset<S>& data, const uint32_t* rows, int64_t first, int64_t count);
  Terms terms_of(const Pass& pass);
  void weigh_terms(const Pass& pass, Terms& terms);
  void add_loss(const Pass& pass, const S* output, S* d_output, Sums& sums,
                std::optional<double> weight = std::nullopt);
  Pass gather_part(const Dataset<S>& data, const TrainCall& part, int64_t first);
  double weight_of(const Dataset<S>& data, const TrainCall& part);
  Sums train_afresh(const Dataset<S>& data, const TrainCall& part);
  Sums train_update(const Dataset<S>& data, const TrainCall& part);
  void update(double rate_factor);
  void settle(bool first);
  void settle_once();
  void check_cancel() const;
  void require_finite_params(double rate_factor) const;
  void remember_params();
  void clear_gradients();
  void restore_params();
  void remember_buffers();
  void restore_buffers();
  [[noreturn]] void fail_not_finite(const Pass& pass, double loss) const;

  Backend<S>& backend_;
  Model<S>& model_;
  std::optional<Optimizer<S>> optimizer_;
  Loss loss_;
  Carried<S> carried_;
  Carried<S> gradients_;
  Counters counters_;
  const std::atomic<bool>* cancel_ = nullptr;
  Batch batch_;
  Buffer<S> kept_buffers_;  ///< running statistics before the batch at hand
  Buffer<S> kept_params_;   ///< parameters before the update at hand
  Pass open_pass_;
  bool open_ = false;           ///< `backward` can follow
  bool given_ = false;          ///< the last open pass began from given states
  bool has_gradients_ = false;  ///< `step` can follow
  bool settled_ = false;        ///< since `compile`
};

}  // namespace lookback
