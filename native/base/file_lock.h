/// A lock on an open file that ends with the process that holds it, however that ends.
#pragma once

namespace lookback {

enum class FileLock {
  kTaken,
  /// Another opening of the file has it, in this process or in another one.
  kHeldElsewhere,
  /// The file system has no locks.
  kUnsupported,
};

/// Locks the file behind a descriptor until all copies of it are closed. Does not wait.
FileLock lock_file(int descriptor) noexcept;

}  // namespace lookback
