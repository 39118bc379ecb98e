#include "addon/disk_clone.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/fd_util.h"
#include "base/unique_fd.h"

#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif
#ifdef __APPLE__
#include <sys/clonefile.h>
#endif

namespace msb::addon {
namespace {

constexpr size_t kCopyBytes = 256 * 1024;

struct Files {
  int from;
  int to;
  const std::string& from_path;
  const std::string& to_path;
};

#ifdef __linux__
// False when the kernel has no way of copying between these two files.
StatusOr<bool> CopyInKernel(const Files& files, off_t* begin, off_t end) {
  while (*begin < end) {
    off_t in = *begin;
    off_t out = *begin;
    const ssize_t count = RetryOnEintr([&] {
      return copy_file_range(files.from, &in, files.to, &out, static_cast<size_t>(end - *begin), 0);
    });
    if (count < 0) {
      if (errno == ENOSYS || errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP) return false;
      return Status::Errno("copy_file_range", files.to_path);
    }
    if (count == 0)
      return Status::Error("copy_file_range", EIO, files.from_path + " became shorter");
    *begin += count;
  }
  return true;
}
#endif

Status CopyRange(const Files& files, off_t begin, off_t end) {
#ifdef __linux__
  StatusOr<bool> copied = CopyInKernel(files, &begin, end);
  if (!copied.ok()) return copied.status();
  if (copied.value()) return Status();
#endif
  std::vector<char> buffer(kCopyBytes);
  while (begin < end) {
    const size_t wanted = static_cast<size_t>(std::min<off_t>(end - begin, kCopyBytes));
    const ssize_t got =
        RetryOnEintr([&] { return pread(files.from, buffer.data(), wanted, begin); });
    if (got < 0) return Status::Errno("read", files.from_path);
    if (got == 0) return Status::Error("read", EIO, files.from_path + " became shorter");
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = RetryOnEintr([&] {
        return pwrite(files.to, buffer.data() + done, static_cast<size_t>(got - done),
                      begin + done);
      });
      if (put < 0) return Status::Errno("write", files.to_path);
      done += put;
    }
    begin += got;
  }
  return Status();
}

// Copies what is not a hole; says how much that was.
StatusOr<uint64_t> CopyData(const Files& files, off_t size) {
  uint64_t data_bytes = 0;
  off_t end = 0;
  while (end < size) {
    off_t begin = lseek(files.from, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // only a hole is left
    if (begin < 0 && errno != EINVAL) return Status::Errno("lseek", files.from_path);
    if (begin < 0) {  // the filesystem knows no holes
      begin = end;
      end = size;
    } else {
      end = lseek(files.from, begin, SEEK_HOLE);
      if (end < 0) return Status::Errno("lseek", files.from_path);
      end = std::min(end, size);
    }
    if (begin >= size) break;
    MSB_RETURN_IF_ERROR(CopyRange(files, begin, end));
    data_bytes += static_cast<uint64_t>(end - begin);
  }
  return data_bytes;
}

StatusOr<CloneResult> Fill(const Files& files, const struct stat& info) {
  CloneResult result;
  result.size_bytes = static_cast<uint64_t>(info.st_size);
#ifdef __linux__
  if (ioctl(files.to, FICLONE, files.from) == 0) {
    result.data_bytes =
        std::min<uint64_t>(static_cast<uint64_t>(info.st_blocks) * 512, result.size_bytes);
    return result;
  }
#endif
  if (ftruncate(files.to, info.st_size) != 0) return Status::Errno("ftruncate", files.to_path);
  StatusOr<uint64_t> copied = CopyData(files, info.st_size);
  if (!copied.ok()) return copied.status();
  result.data_bytes = copied.value();
  return result;
}

}  // namespace

StatusOr<CloneResult> CloneSparse(const std::string& from, const std::string& to) {
  UniqueFd source(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!source.valid()) return Status::Errno("open", from);
  struct stat info = {};
  if (fstat(source.get(), &info) != 0) return Status::Errno("fstat", from);
  if (!S_ISREG(info.st_mode)) return Status::Error("open", EINVAL, from + " is not a regular file");
#ifdef __APPLE__
  if (clonefile(from.c_str(), to.c_str(), CLONE_NOFOLLOW) == 0) {
    if (chmod(to.c_str(), 0600) == 0) {
      return CloneResult{static_cast<uint64_t>(info.st_size),
                         static_cast<uint64_t>(info.st_blocks) * 512};
    }
    unlink(to.c_str());
  }
#endif
  UniqueFd target(open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target.valid()) return Status::Errno("open", to);
  StatusOr<CloneResult> result = Fill(Files{source.get(), target.get(), from, to}, info);
  if (!result.ok()) unlink(to.c_str());
  return result;
}

}  // namespace msb::addon
