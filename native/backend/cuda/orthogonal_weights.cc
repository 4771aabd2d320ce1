#include "backend/cuda/orthogonal_weights.h"

#include <utility>

namespace lookback {
namespace {

/// Place of a norm.
constexpr int kOfBasedMatrix = DeviceSkewMap::kNorms;
/// Above this sum of squares of W^T W - I the host looks at W, whose largest entry decides.
constexpr double kSuspicious = 1e-6;

int64_t side_of(const ProductForm& form) {
  return form.kind == ProductForm::Kind::kUnitaryCayley ? 2 * int64_t{form.n} : form.n;
}

}  // namespace

template <class S>
OrthogonalWeights<S>::OrthogonalWeights(CudaDevice& device, const ProductForm& form,
                                        std::vector<int> reads)
    : device_(device),
      form_(form),
      reads_(std::move(reads)),
      algebra_(device, side_of(form)),
      base_(device),
      Z_(device),
      W_(device),
      gradient_(device),
      H_(device) {
  if (form.kind == Kind::kBasedExponential) {
    map_ = std::make_unique<DeviceExponential>(algebra_);
  } else {
    map_ = std::make_unique<DeviceCayley>(algebra_);
  }
}

template <class S>
SkewStorage OrthogonalWeights<S>::storage() const {
  if (form_.kind == Kind::kUnitaryCayley) return SkewStorage::kHermitian;
  if (based()) return SkewStorage::kUpper;
  return form_.packed ? SkewStorage::kPacked : SkewStorage::kFull;
}

template <class S>
void OrthogonalWeights<S>::read(const std::vector<const S*>& params) {
  algebra_.ensure(map_->A());
  ReadSkewOp<S> op = {};
  op.storage = storage();
  op.n = form_.n;
  op.A = param(params, 0);
  op.to = map_->A().data();
  if (form_.kind == Kind::kScaledCayley) op.signs = param(params, 1);
  if (form_.kind == Kind::kUnitaryCayley) {
    op.imaginary = param(params, 1);
    op.others = param(params, 2);
    op.others_row = 1;
  }
  if (based()) {
    op.others = param(params, 1);
    op.others_row = form_.n;
  }
  launch(op);
}

template <class S>
bool OrthogonalWeights<S>::begin(const std::vector<const S*>& params,
                                 std::vector<Buffer<S>>& derived) {
  read(params);
  if (!map_->begin()) return false;
  const double* const X = map_->result().data();
  if (form_.kind == Kind::kScaledCayley) {
    launch(WriteScaledOp<S>{form_.n, X, param(params, 1), derived[0].data()});
  } else if (form_.kind == Kind::kUnitaryCayley) {
    launch(WriteUnitaryOp<S>{form_.n, X, param(params, 2), derived[0].data(), derived[1].data()});
  } else {
    write_based(params, derived);
  }
  return true;
}

/// W = base Z, and A as it was used.
template <class S>
void OrthogonalWeights<S>::write_based(const std::vector<const S*>& params,
                                       std::vector<Buffer<S>>& derived) {
  const int64_t count = int64_t{form_.n} * form_.n;
  load(param(params, 1), base_);
  if (form_.kind == Kind::kBasedCayley) {
    algebra_.combine(-1, {{2, map_->result()}}, Z_);
    algebra_.multiply(base_, Z_, W_);
  } else {
    algebra_.multiply(base_, map_->result(), W_);
  }
  launch(StoreOp<S>{count, W_.data(), derived[0].data()});
  launch(StoreOp<S>{count, map_->A().data(), derived[1].data()});
  algebra_.multiply(transposed(W_), W_, Z_);
  algebra_.combine(-1, {{1, Z_}}, Z_);
  algebra_.queue_norm(kOfBasedMatrix, Z_);
}

template <class S>
bool OrthogonalWeights<S>::finish() {
  if (!map_->finish()) return false;
  return !based() || algebra_.read_norms(kOfBasedMatrix, 1).front() <= kSuspicious;
}

template <class S>
void OrthogonalWeights<S>::load(const S* from, DeviceMatrix& to) {
  algebra_.ensure(to);
  launch(LoadOp<S>{algebra_.n() * algebra_.n(), from, to.data()});
}

template <class S>
void OrthogonalWeights<S>::adjoint(const std::vector<const S*>& params,
                                   const std::vector<Buffer<S>>& d_derived,
                                   const std::vector<S*>& d_params) {
  const auto gradient = [&](size_t position) {
    return d_params[static_cast<size_t>(reads_[position])];
  };
  const int64_t n = form_.n;
  const double scale = map_->scale();
  algebra_.ensure(H_);
  if (form_.kind == Kind::kUnitaryCayley) {
    const S *const G_re = d_derived[0].data(), *const G_im = d_derived[1].data(),
                   *const theta = param(params, 2);
    launch(ReadUnitaryGradientOp<S>{n, G_re, G_im, theta, H_.data()});
    const double* const Y = map_->adjoint(H_).data();
    // C = S (Om D) S / 2 and S = 2 X^T.
    launch(
        AddUnitaryGradientOp<S>{n, 2 * scale, !form_.free_gradient, Y, gradient(0), gradient(1)});
    if (gradient(2) != nullptr) {
      launch(AddPhaseGradientOp<S>{n, map_->result().data(), theta, G_re, G_im, gradient(2)});
    }
    return;
  }
  if (gradient(0) == nullptr) return;
  if (based()) {
    load(d_derived[0].data(), gradient_);
    algebra_.multiply(transposed(gradient_), base_, H_);
  } else {
    launch(ReadScaledGradientOp<S>{n, d_derived[0].data(), param(params, 1), H_.data()});
  }
  const double* const Y = map_->adjoint(H_).data();
  launch(AddSkewGradientOp<S>{storage(), n, scale, Y, gradient(0)});
}

template <class S>
std::unique_ptr<OrthogonalWeights<S>> make_orthogonal_weights(
    CudaDevice& device, const Parametrization* parametrization) {
  if (parametrization == nullptr) return nullptr;
  const ProductForm form = parametrization->product_form();
  if (form.kind == ProductForm::Kind::kNone) return nullptr;
  return std::make_unique<OrthogonalWeights<S>>(device, form, parametrization->params());
}

template class OrthogonalWeights<float>;
template class OrthogonalWeights<double>;
template std::unique_ptr<OrthogonalWeights<float>> make_orthogonal_weights(CudaDevice&,
                                                                           const Parametrization*);
template std::unique_ptr<OrthogonalWeights<double>> make_orthogonal_weights(CudaDevice&,
                                                                            const Parametrization*);

}  // namespace lookback
