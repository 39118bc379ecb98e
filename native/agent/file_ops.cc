#include "agent/file_ops.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/unique_fd.h"

namespace msb::agent {
namespace {

// Each level holds an open directory.
constexpr size_t kMaxDepth = 1024;
// How often a directory that others keep filling is emptied again.
constexpr int kMaxPasses = 8;

const char* KindName(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFBLK:
      return "block";
    case S_IFCHR:
      return "character";
    default:
      return "file";
  }
}

// A directory on the way of a recursive removal.
struct Level {
  std::unique_ptr<DIR, int (*)(DIR*)> folder;
  std::string name;  // in the level above
  int passes = 0;
};

class TreeRemover {
 public:
  explicit TreeRemover(const std::string& path) : path_(path) {}

  Status Remove(int parent, const std::string& name) {
    MSB_RETURN_IF_ERROR(Descend(parent, name));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      const dirent* entry = readdir(level.folder.get());
      if (entry == nullptr) {
        MSB_RETURN_IF_ERROR(Ascend(parent));
        continue;
      }
      const std::string child = entry->d_name;
      if (child == "." || child == "..") continue;
      const int directory = dirfd(level.folder.get());
      if (unlinkat(directory, child.c_str(), 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR && errno != EPERM) return Status::Errno("unlinkat", Describe(child));
      if (unlinkat(directory, child.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
      MSB_RETURN_IF_ERROR(Descend(directory, child));
    }
    return {};
  }

 private:
  std::string Describe(const std::string& name) const { return path_ + ": " + name; }

  Status Descend(int directory, const std::string& name) {
    if (levels_.size() == kMaxDepth) {
      return Status::Error("openat", ENAMETOOLONG, Describe("more than 1,024 levels"));
    }
    UniqueFd fd(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return Status::Errno("openat", Describe(name));
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return Status::Errno("fstat", Describe(name));
    if (levels_.empty()) {
      device_ = info.st_dev;
    } else if (info.st_dev != device_) {
      return Status::Error("openat", EBUSY, Describe(name) + " is a mount point");
    }
    Level level{{fdopendir(fd.get()), closedir}, name};
    if (level.folder == nullptr) return Status::Errno("fdopendir", Describe(name));
    fd.Release();
    levels_.push_back(std::move(level));
    return {};
  }

  Status Ascend(int parent) {
    Level& level = levels_.back();
    const int above =
        levels_.size() == 1 ? parent : dirfd(levels_[levels_.size() - 2].folder.get());
    if (unlinkat(above, level.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      if (errno != ENOTEMPTY || ++level.passes == kMaxPasses) {
        return Status::Errno("unlinkat", Describe(level.name));
      }
      rewinddir(level.folder.get());
      return {};
    }
    levels_.pop_back();
    return {};
  }

  const std::string& path_;
  std::vector<Level> levels_;
  dev_t device_ = 0;
};

}  // namespace

StatusOr<Json::Object> DescribeFile(int directory, const std::string& name, bool follow) {
  struct stat info;
  if (fstatat(directory, name.c_str(), &info, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    return Status::Errno("stat", name);
  }
  Json::Object fields = {
      {"kind", KindName(info.st_mode)},
      {"size", static_cast<int64_t>(info.st_size)},
      {"mode", static_cast<int64_t>(info.st_mode & 07777)},
      {"uid", static_cast<int64_t>(info.st_uid)},
      {"gid", static_cast<int64_t>(info.st_gid)},
      {"mtimeMs", int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000},
      {"links", static_cast<int64_t>(info.st_nlink)}};
  if (S_ISLNK(info.st_mode)) {
    char target[PATH_MAX];
    const ssize_t length = readlinkat(directory, name.c_str(), target, sizeof(target));
    if (length >= 0) fields["target"] = std::string(target, static_cast<size_t>(length));
  }
  return fields;
}

Status MakeDirectory(const std::string& path, mode_t mode, bool recursive) {
  if (recursive) {
    for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
      const std::string above = path.substr(0, end);
      if (mkdir(above.c_str(), 0755) != 0 && errno != EEXIST) return Status::Errno("mkdir", above);
    }
  }
  if (mkdir(path.c_str(), mode) == 0) {
    // mkdir drops the set-id and sticky bits.
    if ((mode & 07000) != 0 && chmod(path.c_str(), mode) != 0) return Status::Errno("chmod", path);
    return {};
  }
  if (errno != EEXIST || !recursive) return Status::Errno("mkdir", path);
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return Status::Error("mkdir", EEXIST, path + " exists and is no directory");
}

Status RemovePath(const std::string& given_path, bool recursive) {
  // With a slash at the end, the kernel would follow a symlink.
  const std::string path = given_path.substr(0, given_path.find_last_not_of('/') + 1);
  if (path.empty()) return Status::Error("rmdir", EBUSY, "the root cannot be removed");
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return Status::Errno("lstat", path);
  if (!S_ISDIR(info.st_mode)) {
    if (unlink(path.c_str()) != 0) return Status::Errno("unlink", path);
    return {};
  }
  if (rmdir(path.c_str()) == 0) return {};
  if (!recursive || errno != ENOTEMPTY) return Status::Errno("rmdir", path);
  return TreeRemover(path).Remove(AT_FDCWD, path);
}

Status RenamePath(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return Status::Errno("rename", from + " to " + to);
  return {};
}

}  // namespace msb::agent
