/// A model whose passes the stepwise driver runs, often enough for their launches to be recorded
/// and replayed: for the device on the host, and for a GPU.
#pragma once

#include "backend/cuda/block_plan.h"
#include "native/models.h"

namespace lookback {

/// Until it goes, models choose the stepwise driver.
class StepByStep {
 public:
  StepByStep() { block_choice() = {BlockChoice::kStepwise, 2, -1}; }
  ~StepByStep() { block_choice() = BlockChoice(); }
};

/// What some updates leave of a model with dropout, batch statistics and lengths, whose batches are
/// of two sizes.
inline Numbers trained_step_by_step(DeviceKind device) {
  constexpr int64_t kBatchRows = 11, kBatchSteps = 5, kBatchInputs = 3;
  const StepByStep driver;
  Spec normalized = named("bnlstm");
  normalized.set("units", 4.0);
  normalized.set("tMax", double{kBatchSteps});
  const auto model = engine({lstm(6, true), dropout(0.4), normalized, dense(4)}, kBatchInputs,
                            DType::kFloat64, 1, device);
  std::vector<int32_t> y, lengths;
  for (int32_t i = 0; i < kBatchRows; ++i) {
    y.push_back(i % 4);
    lengths.push_back(i % 6);
  }
  const int64_t data = model->add_data(noise_tensor({kBatchRows, kBatchSteps, kBatchInputs}, 5),
                                       int_tensor(y), lengths);
  model->compile(named("softmaxCrossEntropy"),
                 spec({{"kind", std::string("sgd")}, {"learningRate", 0.05}}));
  for (int epoch = 0; epoch < 3; ++epoch) train(*model, data, first_rows(8), 4, 1);
  train(*model, data, first_rows(kBatchRows), 4, 1);
  return state_of(*model);
}

}  // namespace lookback
