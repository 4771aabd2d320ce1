/// What a job of a cell gives, in arrays of JavaScript that were made before it began: it writes
/// where they lie, which takes neither a copy nor a second block of memory, but for large arrays
/// that have no huge pages.
#pragma once

#include <napi.h>

#include <cstddef>
#include <vector>

#include "model/cell_call.h"

namespace lookback {

/// Made and destroyed on the JavaScript thread, where nobody sees the arrays until the job has
/// ended.
class ResultArrays {
 public:
  /// Throws ERR_MEMORY.
  ResultArrays(Napi::Env env, const std::vector<ResultInfo>& infos, DType dtype);

  /// Room for the results; for the job.
  NamedTensors& tensors();
  /// { shape, data } by name, when the job has ended. Throws ERR_MEMORY.
  Napi::Value object();

 private:
  /// Numbers of a tensor that lie in a block of ours, and the array they are meant for.
  struct Copy {
    size_t tensor;
    void* array;
  };

  template <class S>
  HostTensor room_for(const ResultInfo& info);

  Napi::ObjectReference object_;
  NamedTensors tensors_;
  std::vector<Copy> copies_;
};

}  // namespace lookback
