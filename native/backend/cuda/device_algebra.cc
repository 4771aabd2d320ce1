#include "backend/cuda/device_algebra.h"

#include "backend/cuda/gemm.h"
#include "backend/cuda/matrix_operations.h"
#include "backend/cuda/operations.h"

namespace lookback {

DeviceAlgebra::DeviceAlgebra(CudaDevice& device, int64_t n)
    : device_(device), n_(n), sums_(device) {}

void DeviceAlgebra::multiply(const DeviceFactor& a, const DeviceFactor& b, DeviceMatrix& to,
                             bool add) {
  device_.check_cancel();
  ensure(to);
  Gemm<double> g;
  g.m = g.n = g.k = n_;
  g.a = a.matrix.data();
  g.a_row = a.transposed ? 1 : n_;
  g.a_col = a.transposed ? n_ : 1;
  g.b = b.matrix.data();
  g.b_row = b.transposed ? 1 : n_;
  g.b_col = b.transposed ? n_ : 1;
  g.beta = add ? 1 : 0;
  g.c = to.data();
  g.c_row = n_;
  device_.launch<double>(kCudaGemm, GemmOp<double>{g, nullptr});
}

void DeviceAlgebra::combine(double identity, std::initializer_list<Term> terms, DeviceMatrix& to) {
  ensure(to);
  CombineOp<double> op = {};
  op.n = n_;
  op.identity = identity;
  for (const Term& term : terms) {
    op.from[op.count] = term.matrix.data();
    op.factor[op.count++] = term.factor;
  }
  op.to = to.data();
  device_.launch<double>(op.kId, op);
}

void DeviceAlgebra::queue_norm(int place, const DeviceMatrix& matrix) {
  sums_.ensure(int64_t{kNorms} * kReduceBlocks, "sums");
  const SumSquaresOp<double> op = {n_ * n_, matrix.data(),
                                   sums_.data() + int64_t{place} * kReduceBlocks};
  device_.launch<double>(op.kId, op);
}

std::vector<double> DeviceAlgebra::read_norms(int first, int count) {
  double partial[kNorms * kReduceBlocks];
  device_.copy_out(sums_.data() + int64_t{first} * kReduceBlocks, int64_t{count} * kReduceBlocks,
                   partial);
  std::vector<double> norms(static_cast<size_t>(count), 0.0);
  for (int i = 0; i < count * kReduceBlocks; ++i)
    norms[static_cast<size_t>(i / kReduceBlocks)] += partial[i];
  return norms;
}

}  // namespace lookback
