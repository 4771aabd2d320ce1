#include "base/file_lock.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/file.h>

#include <cerrno>
#endif

namespace lookback {

#if defined(__unix__) || defined(__APPLE__)

FileLock lock_file(int descriptor) noexcept {
  while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? FileLock::kHeldElsewhere : FileLock::kUnsupported;
  }
  return FileLock::kTaken;
}

#else

FileLock lock_file(int) noexcept { return FileLock::kUnsupported; }

#endif

}  // namespace lookback
