#ifndef MSB_ADDON_FILE_LOCK_H_
#define MSB_ADDON_FILE_LOCK_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::addon {

// An flock(2) lock on a file. It belongs to the open file description, so it holds against
// everybody else, this process included, and the kernel drops it when the process ends in whatever
// way.
class FileLock {
 public:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock() { Release(); }

  // The second call does nothing.
  void Release();

 private:
  UniqueFd fd_;
};

enum class LockMode { kShared, kExclusive };
enum class LockWait {
  kNone,
  // Blocks the thread for as long as others hold the lock; nothing but the lock ends it.
  kForever,
};
enum class LockTarget {
  // Made, empty, if it is not there.
  kAnyFile,
  kExistingFile,
};

// Locks the file that `path` names when this returns: a file that was removed or replaced while its
// lock was waited for is let go and the new one locked. The last component may not be a symbolic
// link. Null when somebody else holds the lock (kNone) or there is no file (kExistingFile).
StatusOr<std::shared_ptr<FileLock>> LockFile(const std::string& path, LockMode mode, LockWait wait,
                                             LockTarget target);

}  // namespace msb::addon

#endif  // MSB_ADDON_FILE_LOCK_H_
