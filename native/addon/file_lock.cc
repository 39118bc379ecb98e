#include "addon/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/fd_util.h"

namespace msb::addon {
namespace {

// Each round means that somebody else removed the file while this thread waited for it.
constexpr int kMaxRounds = 10'000;

StatusOr<UniqueFd> OpenLockFile(const std::string& path, LockTarget target) {
  const int create = target == LockTarget::kAnyFile ? O_CREAT : 0;
  // Writable, since network filesystems give exclusive locks to writers only; O_NONBLOCK, since a
  // fifo would wait for its other end.
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | create;
  UniqueFd fd(RetryOnEintr([&] { return open(path.c_str(), flags, 0644); }));
  if (!fd.valid()) return Status::Errno("open", path);
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return Status::Errno("fstat", path);
  if (!S_ISREG(info.st_mode)) return Status::Error("open", EINVAL, path + " is not a regular file");
  return fd;
}

StatusOr<bool> IsStillNamed(int fd, const std::string& path) {
  struct stat locked = {};
  struct stat named = {};
  if (fstat(fd, &locked) != 0) return Status::Errno("fstat", path);
  if (lstat(path.c_str(), &named) != 0) {
    if (errno == ENOENT) return false;
    return Status::Errno("lstat", path);
  }
  return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

}  // namespace

void FileLock::Release() {
  if (!fd_.valid()) return;
  // Closing is not enough while a child between fork and exec has the descriptor, too.
  flock(fd_.get(), LOCK_UN);
  fd_.Reset();
}

StatusOr<std::shared_ptr<FileLock>> LockFile(const std::string& path, LockMode mode, LockWait wait,
                                             LockTarget target) {
  const int operation =
      (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | (wait == LockWait::kNone ? LOCK_NB : 0);
  for (int round = 0; round < kMaxRounds; ++round) {
    StatusOr<UniqueFd> fd = OpenLockFile(path, target);
    if (!fd.ok()) {
      const bool is_missing = fd.status().error_number() == ENOENT;
      if (is_missing && target == LockTarget::kExistingFile) return std::shared_ptr<FileLock>();
      return fd.status();
    }
    if (RetryOnEintr([&] { return flock(fd.value().get(), operation); }) != 0) {
      if (errno == EWOULDBLOCK) return std::shared_ptr<FileLock>();
      return Status::Errno("flock", path);
    }
    StatusOr<bool> is_named = IsStillNamed(fd.value().get(), path);
    if (!is_named.ok()) return is_named.status();
    if (is_named.value()) return std::make_shared<FileLock>(std::move(fd.value()));
  }
  return Status::Error("flock", EBUSY, path + " is replaced again and again");
}

}  // namespace msb::addon
