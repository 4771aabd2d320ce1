#include "model/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"

namespace lookback {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void require_batch_size(int64_t batch_size) {
  REQUIRE(batch_size >= 1, kOption, "batchSize is ", batch_size, "; expected 1 or more");
}

void require_rate_factor(double factor) {
  REQUIRE(std::isfinite(factor) && factor >= 0, kOption, "rateFactor is ", factor,
          "; expected a finite number, 0 or more");
}

}  // namespace

template <class S>
Trainer<S>::Trainer(Backend<S>& backend, Model<S>& model)
    : backend_(backend), model_(model), carried_(model), gradients_(model, StateKind::kGradients) {
  MemorySpace& memory = backend.memory();
  for (Buffer<S>* buffer : {&batch_.x, &batch_.targets, &batch_.weights, &batch_.term_weights,
                            &kept_buffers_, &kept_params_}) {
    buffer->use(memory);
  }
  batch_.labels.use(memory);
}

template <class S>
void Trainer<S>::compile(const Spec& loss, const Spec& optimizer,
                         const std::vector<ParamGroup>& groups) {
  Loss wanted = read_loss(loss);
  wanted.target_size(model_.output().features);
  Optimizer<S> made(backend_, optimizer, groups, model_.param_layout());
  optimizer_.emplace(std::move(made));
  loss_ = std::move(wanted);
  counters_.updates = 0;
  settled_ = false;
}

template <class S>
void Trainer<S>::set_cancel(const std::atomic<bool>* cancel) {
  cancel_ = cancel;
  backend_.set_cancel(cancel);
}

template <class S>
void Trainer<S>::check_cancel() const {
  REQUIRE(cancel_ == nullptr || !cancel_->load(std::memory_order_relaxed), kAborted,
          "the job was cancelled after ", counters_.updates, " updates");
}

template <class S>
void Trainer<S>::require_ready(const Dataset<S>& data) const {
  REQUIRE(compiled(), kState, "the model has no loss and optimizer yet; call compile first");
  const bool labels = loss_.wants_labels();
  REQUIRE(labels ? data.has_labels() : data.has_targets(), kState, "this data set has no ",
          labels ? "labels" : "targets", ", which the loss ", loss_.name(),
          labels ? " needs; give y as integers" : " needs; give y as floats");
  const DataShape shape = data_shape();
  const int64_t size = (shape.output.sequence ? data.steps() : 1) * shape.target_features;
  REQUIRE(labels || data.target_size() == size, kState, "this data set has ", data.target_size(),
          " targets per row, but the loss ", loss_.name(), " needs ", size,
          "; add the data again after compile");
}

template <class S>
DataShape Trainer<S>::data_shape() const {
  DataShape shape{model_.input(), model_.output(), model_.output().features, false};
  if (!compiled()) return shape;
  shape.target_features = loss_.target_size(shape.output.features);
  shape.allow_nan = loss_.skip_nan;
  return shape;
}

template <class S>
Pass Trainer<S>::gather(const Dataset<S>& data, const uint32_t* rows, int64_t first,
                        int64_t count) {
  open_ = false;
  Pass pass;
  pass.batch = count;
  pass.steps = data.steps();
  pass.dropout.seed = model_.seed();
  pass.dropout.step = static_cast<uint64_t>(counters_.draws);
  BatchTarget<S> target;
  batch_.x.ensure(model_.input().elements(count, data.steps()), "a batch of x");
  target.x = batch_.x.data();
  if (data.has_labels()) {
    batch_.labels.ensure(checked_mul(count, data.label_size(), "a batch of labels"),
                         "a batch of labels");
    target.labels = batch_.labels.data();
  }
  if (data.has_targets()) {
    batch_.targets.ensure(checked_mul(count, data.target_size(), "a batch of y"), "a batch of y");
    target.targets = batch_.targets.data();
  }
  batch_.weight_size = data.weight_size();
  if (data.has_weights()) {
    batch_.weights.ensure(checked_mul(count, data.weight_size(), "a batch of weights"),
                          "a batch of weights");
    target.weights = batch_.weights.data();
  }
  if (data.has_lengths()) {
    batch_.lengths.resize(static_cast<size_t>(count));
    pass.lengths = target.lengths = batch_.lengths.data();
  }
  if (data.has_resets()) {
    batch_.resets.ensure(count * data.steps(), "a batch of resets");
    pass.resets = target.resets = batch_.resets.data();
  }
  batch_.burn_in = 0;
  data.gather(rows, first, count, target);
  return pass;
}

/// Each row is a term, or each of its steps; those behind its length weigh nothing.
template <class S>
typename Trainer<S>::Terms Trainer<S>::terms_of(const Pass& pass) {
  const FeatureShape shape = model_.output();
  Terms terms;
  terms.size = shape.sequence ? pass.batch * pass.steps : pass.batch;
  terms.outputs = shape.features;
  terms.weight = terms.count = static_cast<double>(terms.size);
  const bool cut = shape.sequence && pass.lengths != nullptr;
  if (cut || batch_.burn_in > 0 || batch_.weight_size > 0 || loss_.skip_nan)
    weigh_terms(pass, terms);
  return terms;
}

template <class S>
void Trainer<S>::weigh_terms(const Pass& pass, Terms& terms) {
  const bool sequence = model_.output().sequence;
  TermWeights<S> call;
  call.terms = terms.size;
  call.steps = sequence ? pass.steps : 1;
  call.lengths = sequence ? pass.lengths : nullptr;
  call.burn_in = sequence ? batch_.burn_in : 0;
  call.weights = batch_.weight_size > 0 ? batch_.weights.data() : nullptr;
  call.per_row = batch_.weight_size == 1;
  call.targets = loss_.skip_nan ? batch_.targets.data() : nullptr;
  call.target_size = loss_.target_size(terms.outputs);
  batch_.term_weights.ensure(terms.size, "weights of a batch");
  const TermSum sum = backend_.weigh_terms(call, batch_.term_weights.data());
  terms.weights = batch_.term_weights.data();
  terms.weight = sum.weight;
  terms.count = sum.count;
}

/// `weight`: what the loss is the mean over, where that is more than this batch.
template <class S>
void Trainer<S>::add_loss(const Pass& pass, const S* output, S* d_output, Sums& sums,
                          std::optional<double> weight) {
  const Terms terms = terms_of(pass);
  const double whole = weight.value_or(terms.weight);
  LossCall<S> call;
  call.kind = loss_.kind;
  call.terms = terms.size;
  call.outputs = terms.outputs;
  call.y = output;
  call.labels = batch_.labels.data();
  call.target_size = loss_.target_size(terms.outputs);
  call.targets = batch_.targets.data();
  call.weights = terms.weights;
  call.scale = whole > 0 ? 1.0 / whole : 0.0;
  call.d = d_output;
  call.delta = loss_.delta;
  call.min_variance = loss_.min_variance;
  call.quantiles = loss_.quantiles.data();
  const LossSum sum = backend_.loss(call);
  sums.rows += pass.batch;
  sums.steps += 1;
  sums.weight += terms.weight;
  sums.count += terms.count;
  sums.loss += sum.loss;
  sums.hits += sum.hits;
  sums.absolute += sum.absolute;
}

template <class S>
Sums Trainer<S>::train(const Dataset<S>& data, const TrainCall& call, const Progress& progress) {
  require_ready(data);
  require_batch_size(call.batch_size);
  require_rate_factor(call.rate_factor);
  REQUIRE(call.accumulate >= 1, kOption, "accumulate is ", call.accumulate, "; expected 1 or more");
  for (int64_t i = 0; i < call.count; ++i) {
    REQUIRE(int64_t{call.rows[i]} < data.rows(), kData, "rows holds ", call.rows[i], " at entry ",
            i, "; expected 0..", data.rows() - 1, ", the rows of the data set");
  }
  require_continuing(call.continuing, call.count, data.steps(), call.batch_size);
  REQUIRE(call.accumulate == 1 || !call.continuing.stateful, kOption, "accumulate is ",
          call.accumulate, ", which does not go with stateful; expected 1");
  const int64_t each = checked_mul(call.batch_size, call.accumulate, "the rows of an update");
  const auto part_at = [&call, each](int64_t first) {
    TrainCall part = call;
    part.rows = call.rows + first;
    part.count = std::min(each, call.count - first);
    return part;
  };
  const Clock::time_point start = Clock::now();
  Sums sums;
  for (int64_t first = 0; first < call.count; first += each) {
    const bool afresh = call.continuing.stateful && carried_.batch() != call.batch_size;
    sums.add(afresh ? train_afresh(data, part_at(first)) : train_update(data, part_at(first)));
    sums.seconds = seconds_since(start);
    if (progress) progress(sums);
  }
  return sums;
}

/// The first update of a run whose batches have another size than the states that are held.
template <class S>
Sums Trainer<S>::train_afresh(const Dataset<S>& data, const TrainCall& part) {
  typename Carried<S>::Held before = carried_.nothing();
  carried_.swap(before);
  try {
    carried_.hold(part.batch_size);
    return train_update(data, part);
  } catch (...) {
    carried_.swap(before);
    throw;
  }
}

/// The batch of an update that begins at its row `first`.
template <class S>
Pass Trainer<S>::gather_part(const Dataset<S>& data, const TrainCall& part, int64_t first) {
  const int64_t count = std::min(part.batch_size, part.count - first);
  return continued(gather(data, part.rows + first, 0, count), part.continuing);
}

/// Of all terms of an update, before any of its batches has run.
template <class S>
double Trainer<S>::weight_of(const Dataset<S>& data, const TrainCall& part) {
  double weight = 0;
  for (int64_t first = 0; first < part.count; first += part.batch_size) {
    weight += terms_of(gather_part(data, part, first)).weight;
  }
  return weight;
}

/// One update, from as many batches as `part` takes. The loss is the mean over all their terms, so
/// that their gradients add up to that of one large batch.
template <class S>
Sums Trainer<S>::train_update(const Dataset<S>& data, const TrainCall& part) {
  check_cancel();
  std::optional<double> weight;
  if (part.count > part.batch_size) weight = weight_of(data, part);
  settle_once();
  remember_buffers();
  const int64_t draws = counters_.draws;
  try {
    has_gradients_ = false;
    clear_gradients();
    Sums sums;
    for (int64_t first = 0; first < part.count; first += part.batch_size) {
      if (first > 0) check_cancel();
      Pass pass = gather_part(data, part, first);
      pass.training = pass.keep = true;
      pass.ending = loss_.ending();
      const S* output = model_.forward(pass, batch_.x.data());
      Sums batch;
      add_loss(pass, output, model_.output_gradient(pass), batch, weight);
      if (!std::isfinite(batch.loss)) fail_not_finite(pass, batch.loss);
      model_.backward(pass, batch_.x.data(), nullptr);
      ++counters_.draws;
      sums.add(batch);
    }
    update(part.rate_factor);
    if (part.continuing.stateful) carried_.keep();
    return sums;
  } catch (...) {
    restore_buffers();
    counters_.draws = draws;
    throw;
  }
}

/// Rows have to stay where they are for the next batch to go on from them.
template <class S>
void Trainer<S>::require_continuing(const Continuing& continuing, int64_t rows, int64_t steps,
                                    int64_t batch_size) const {
  REQUIRE(!continuing.stateful || rows % batch_size == 0, kData, "a stateful pass over ", rows,
          " rows in batches of ", batch_size, " leaves ", rows % batch_size,
          " over; expected whole batches, since row b goes on with row b of the next");
  const int64_t burn_in = continuing.burn_in;
  REQUIRE(burn_in >= 0 && burn_in < steps, kOption, "burnIn is ", burn_in,
          "; expected 0 or more, and fewer than the ", steps, " steps of a row");
  REQUIRE(burn_in == 0 || model_.output().sequence, kOption, "burnIn is ", burn_in,
          ", but the model gives one output a row, behind all its steps; use returnSequences");
}

template <class S>
Pass Trainer<S>::continued(Pass pass, const Continuing& continuing) {
  pass.carry = continuing.stateful;
  const bool afresh = !continuing.stateful || !carried_.started();
  batch_.burn_in = afresh ? continuing.burn_in : 0;
  return pass;
}

template <class S>
void Trainer<S>::fail_not_finite(const Pass& pass, double loss) const {
  const std::string layer = model_.first_non_finite_layer(pass);
  fail(ErrorCode::kNumeric,
       text("update ", counters_.updates + 1, ": the loss is ", loss,
            layer.empty() ? "" : ", first seen in the output of layer '" + layer + "'",
            "; parameters are as after update ", counters_.updates,
            ". Lower learningRate, set clipNorm or scale the inputs"));
}

template <class S>
Sums Trainer<S>::evaluate(const Dataset<S>& data, int64_t batch_size,
                          const Continuing& continuing) {
  require_ready(data);
  require_batch_size(batch_size);
  require_continuing(continuing, data.rows(), data.steps(), batch_size);
  std::optional<CarriedLoan<S>> loan;
  if (continuing.stateful) {
    loan.emplace(carried_);
    carried_.hold(batch_size);
  }
  const Clock::time_point start = Clock::now();
  Sums sums;
  for (int64_t first = 0; first < data.rows(); first += batch_size) {
    check_cancel();
    const int64_t count = std::min(batch_size, data.rows() - first);
    Pass pass = continued(gather(data, nullptr, first, count), continuing);
    pass.ending = loss_.ending();
    add_loss(pass, model_.forward(pass, batch_.x.data()), nullptr, sums);
    if (pass.carry) carried_.keep();
  }
  sums.seconds = seconds_since(start);
  return sums;
}

template <class S>
HostTensor Trainer<S>::predict(const Dataset<S>& data, int64_t batch_size, StateCall* states) {
  require_batch_size(batch_size);
  std::optional<CarriedLoan<S>> loan;
  if (states != nullptr) {
    loan.emplace(carried_);
    carried_.hold(std::min(batch_size, data.rows()));
    if (states->initial) carried_.check(*states->initial, data.rows());
    if (states->wanted) states->final = carried_.make(data.rows());
  }
  const FeatureShape shape = model_.output();
  std::vector<int64_t> all{data.rows()};
  if (shape.sequence) all.push_back(data.steps());
  all.push_back(shape.features);
  HostTensor result = make_tensor<S>(std::move(all), "the predictions");
  S* to = std::get<Buffer<S>>(result.data).data();
  for (int64_t first = 0; first < data.rows(); first += batch_size) {
    check_cancel();
    const int64_t count = std::min(batch_size, data.rows() - first);
    Pass pass = gather(data, nullptr, first, count);
    if (states != nullptr) {
      pass.carry = true;
      carried_.hold(count);
      if (states->initial) carried_.begin_from(*states->initial, first);
    }
    const int64_t size = shape.elements(count, data.steps());
    backend_.memory().copy_out(model_.forward(pass, batch_.x.data()), size, to);
    to += size;
    if (states == nullptr || !states->wanted) continue;
    carried_.keep();
    carried_.tell(states->final, first);
  }
  return result;
}

template <class S>
void Trainer<S>::step(double rate_factor) {
  REQUIRE(compiled(), kState, "the model has no loss and optimizer yet; call compile first");
  REQUIRE(has_gradients_, kState, "step has no gradients; call forward and backward first");
  require_rate_factor(rate_factor);
  forget_pass();
  remember_buffers();
  try {
    update(rate_factor);
  } catch (const Error& error) {
    restore_buffers();
    // Those that no update can be made from are gone; with others it can be tried again.
    if (error.code() == ErrorCode::kNumeric) has_gradients_ = false;
    throw;
  } catch (...) {
    restore_buffers();
    throw;
  }
  has_gradients_ = false;
  model_.grads().zero();
}

template <class S>
int64_t Trainer<S>::bytes() const {
  return batch_.x.bytes() + batch_.targets.bytes() + batch_.labels.bytes() +
         batch_.weights.bytes() + batch_.term_weights.bytes() + kept_buffers_.bytes() +
         kept_params_.bytes();
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace lookback
