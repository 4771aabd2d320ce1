/// Launches that a recurrence queues in the same way at every training step: recorded once as a
/// CUDA graph, then queued as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/cuda/device.h"

namespace lookback {

/// Of one pass. The first call with some arguments queues launch by launch, the second one records,
/// and later ones queue the record: a pass that comes once is not worth recording. Arguments are
/// the same where their bytes are and no memory was given back in between, so that nothing that
/// they point to, and no scratch memory that a launch used, has moved.
class LaunchRecord {
 public:
  explicit LaunchRecord(CudaDevice& device) : device_(device) {}
  ~LaunchRecord() { drop(); }
  LaunchRecord(const LaunchRecord&) = delete;
  LaunchRecord& operator=(const LaunchRecord&) = delete;

  /// `launches` only launches, and what it launches depends on the `bytes` bytes at `arguments`
  /// alone. A device that cannot record goes on launch by launch; ERR_ABORTED and faults of the
  /// launches come out.
  void run(const void* arguments, size_t bytes, const std::function<void()>& launches);

 private:
  bool is_as_before(const char* arguments, size_t bytes) const;
  void record(const std::function<void()>& launches);
  void drop();

  CudaDevice& device_;
  std::vector<char> arguments_;  ///< of the call before
  uint64_t releases_ = 0;        ///< of the device, then
  CudaRecord* record_ = nullptr;
  bool refused_ = false;  ///< these are too many, or the device could not record them
};

}  // namespace lookback
