#include "backend/cuda/launch_record.h"

#include <algorithm>

#include "base/error.h"

namespace lookback {
namespace {

/// The host and the device each hold a record's arguments, so a long pass of many launches (13 kB
/// each) is not recorded beyond this.
constexpr uint64_t kMostBytes = uint64_t{64} << 20;

}  // namespace

bool LaunchRecord::is_as_before(const char* arguments, size_t bytes) const {
  return releases_ == device_.releases() && bytes == arguments_.size() &&
         std::equal(arguments_.begin(), arguments_.end(), arguments);
}

void LaunchRecord::drop() {
  if (record_ != nullptr) device_.drop_record(record_);
  record_ = nullptr;
}

/// Leaves `record_` null where the device refuses; then the launches still have to be made, and a
/// fault of theirs comes out there.
void LaunchRecord::record(const std::function<void()>& launches) {
  try {
    device_.begin_record();
    launches();
    record_ = device_.end_record();
  } catch (const Error& error) {
    device_.abandon_record();
    if (error.code() == ErrorCode::kAborted) throw;
  } catch (...) {
    device_.abandon_record();
    throw;
  }
}

void LaunchRecord::run(const void* arguments, size_t bytes, const std::function<void()>& launches) {
  const auto* const given = static_cast<const char*>(arguments);
  if (!is_as_before(given, bytes)) {
    drop();
    const uint64_t launched = device_.launched_bytes();
    launches();
    refused_ = device_.launched_bytes() - launched > kMostBytes;
    arguments_.assign(given, given + bytes);
    releases_ = device_.releases();
    return;
  }
  if (record_ == nullptr && !refused_) {
    record(launches);
    refused_ = record_ == nullptr;
  }
  if (record_ != nullptr) {
    device_.replay(record_);
  } else {
    launches();
  }
}

}  // namespace lookback
