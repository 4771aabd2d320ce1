/// What a job of a cell gives, in arrays of JavaScript that were made before it began: it writes
/// where they lie, which takes neither a copy nor a second block of memory.
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
  template <class S>
  HostTensor room_for(const ResultInfo& info);

  Napi::ObjectReference object_;
  NamedTensors tensors_;
  std::vector<size_t> large_;  ///< which of them are not over an array yet
};

}  // namespace lookback
