#include "backend/cuda/recurrence.h"

#include "backend/cuda/cuda_recurrence.h"
#include "backend/layer_stack.h"
#include "backend/segmented.h"

namespace lookback {

template <class S>
std::unique_ptr<Recurrence<S>> make_cuda_recurrence(Backend<S>& backend, CudaDevice& device,
                                                    const Multiply& on_host,
                                                    const std::string& cell, const Spec& spec) {
  const ArraySpace<S> arrays(backend);
  CellInstance instance = instantiate_cell(cell, spec);
  std::unique_ptr<Recurrence<S>> whole;
  if (instance.layered) {
    const auto make_layer = [&backend, &device, on_host, cell](const Spec& one) {
      return std::unique_ptr<Recurrence<S>>(std::make_unique<CudaRecurrence<S>>(
          backend, device, on_host, instantiate_cell(cell, one)));
    };
    whole = std::make_unique<LayerStack<S>>(make_layer, arrays, cell, spec);
  } else {
    whole = std::make_unique<CudaRecurrence<S>>(backend, device, on_host, std::move(instance));
  }
  return std::make_unique<SegmentedRecurrence<S>>(std::move(whole), arrays);
}

template std::unique_ptr<Recurrence<float>> make_cuda_recurrence(Backend<float>&, CudaDevice&,
                                                                 const Multiply&,
                                                                 const std::string&, const Spec&);
template std::unique_ptr<Recurrence<double>> make_cuda_recurrence(Backend<double>&, CudaDevice&,
                                                                  const Multiply&,
                                                                  const std::string&, const Spec&);

}  // namespace lookback
