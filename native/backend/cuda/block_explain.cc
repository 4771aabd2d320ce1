/// A plan in words.
#include <algorithm>
#include <sstream>

#include "backend/cell_host.h"
#include "backend/cuda/blas.h"
#include "backend/cuda/block_plan.h"

namespace lookback {
namespace {

const char* word_of(BlockDriver driver) {
  return driver == BlockDriver::kResident ? "resident" : "stepwise";
}

/// What forms the products that are not part of the loop's kernel: see CudaBackend::gemm.
std::string products_in_words(const BlockLayout& layout, const BlockPlan& plan,
                              const BlockShape& shape, const CublasReport& cublas) {
  const std::string own = "; products over all steps: our own, ";
  if (!shape.keep) return own + "as always without training";
  if (!cublas.reason.empty()) return own + "cuBLAS is not used: " + cublas.reason;
  double largest = 0;  // multiply-adds of a row
  const std::vector<LinearInfo>& linears = layout.declaration().linears;
  for (size_t l = 0; l < linears.size(); ++l) {
    for (size_t s = 0; s < linears[l].sources.size(); ++s)
      largest = std::max(largest, double(linears[l].rows) * layout.source_size(l, s));
  }
  const auto least = static_cast<double>(blas_least());
  const double step = largest * static_cast<double>(shape.batch);
  const double all = largest * static_cast<double>(plan.padded * shape.steps);
  const bool known = !cublas.version.empty();
  if (all < least) return own + "too small for cuBLAS" + (known ? " " + cublas.version : "");
  if (!known) return "; products over all steps: cuBLAS is looked for when training begins";
  const bool steps_too = plan.driver == BlockDriver::kStepwise && step >= least;
  return (steps_too ? "; products of a step and over all steps: cuBLAS "
                    : "; products over all steps: cuBLAS ") +
         cublas.version;
}

}  // namespace

std::string BlockPlan::explain(const Declaration& d, const BlockShape& shape) const {
  std::ostringstream out;
  const int64_t bytes = shape.number_bytes;
  const char* const row_word = rows == 1 ? " row" : " rows";
  out << word_of(driver) << ": ";
  if (cluster > 1) {
    out << blocks << (blocks == 1 ? " cluster of " : " clusters of ") << rows << row_word
        << ", each " << cluster << " blocks of ";
  } else {
    out << blocks << (blocks == 1 ? " block of " : " blocks of ") << rows << row_word << " and ";
  }
  out << threads << " threads" << (shares > 1 ? " in one cluster; " : "; ") << why;
  if (driver == BlockDriver::kStepwise) return out.str();
  for (const bool back : {false, true}) {
    if (back && !shape.keep) break;
    const SharedPlan& plan = back ? backward : forward;
    int64_t inside = 0, slots_inside = 0;
    for (size_t s = 0; s < d.slots.size(); ++s) {
      if (plan.slots[s] < 0) continue;
      ++slots_inside;
      inside += (int64_t{slots[s].reach} + 1) * rows * slots[s].stride;
    }
    out << (back ? "; backward: " : "; forward: ") << plan.numbers * bytes
        << " bytes of shared memory" << (together() > 1 ? " a block, " : ", ") << slots_inside
        << " of " << d.slots.size() << " slots in it (" << inside * bytes << " bytes), ";
    if (plan.held) {
      out << plan.weight_numbers * bytes << " bytes of weights in registers";
    } else {
      out << "weights " << plan.weight_numbers_shared * bytes << " of "
          << plan.weight_numbers * bytes << " bytes";
    }
  }
  return out.str();
}

LoopPlan BlockPlan::told(const BlockLayout& layout, const BlockShape& shape,
                         const CublasReport* cublas) const {
  std::string words = explain(layout.declaration(), shape);
  if (cublas != nullptr) words += products_in_words(layout, *this, shape, *cublas);
  return {"", word_of(driver), words};
}

LoopPlan plan_on_gpu(const Declaration& cell, const PlanCall& call, const GpuSize& gpu,
                     int64_t number_bytes) {
  BlockShape shape;
  shape.batch = call.batch;
  shape.steps = call.steps;
  shape.keep = call.training;
  shape.coupled = call.training && !cell.sites.empty();
  shape.number_bytes = number_bytes;
  const BlockLayout layout(cell);
  const BlockPlan plan =
      plan_blocks(layout, shape, {gpu.multiprocessors, gpu.shared_bytes, gpu.max_cluster});
  return plan.told(layout, shape, gpu.cublas ? &*gpu.cublas : nullptr);
}

}  // namespace lookback
