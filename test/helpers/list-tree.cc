// Lists a tree, one line an inode's name: everything an image promises about it. Built statically, so that the
// same program runs on the host and in any guest.
//
//   list-tree DIR
//   list-tree --erofs DEVICE DIR      mounts DEVICE on DIR first
//
// Fields: path, type and mode (octal), uid, gid, links, device, mtime, size, content digest, link target, attributes.
// Folders have no link count, size or device: overlay file systems make their own. Bytes outside of printable ASCII
// are \xHH.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::string Escape(const std::string& text) {
  std::string escaped;
  for (unsigned char byte : text) {
    if (byte > 0x20 && byte < 0x7f && byte != '\\') {
      escaped += static_cast<char>(byte);
    } else {
      char hex[5];
      snprintf(hex, sizeof hex, "\\x%02x", byte);
      escaped += hex;
    }
  }
  return escaped;
}

[[noreturn]] void Fail(const char* what, const std::string& path) {
  fprintf(stderr, "%s %s: %s\n", what, path.c_str(), strerror(errno));
  _exit(1);
}

// FNV-1a over 64-bit words, then bytes: tells accidents, not attacks.
uint64_t HashFile(const std::string& path) {
  static std::vector<char> buffer(1 << 20);
  int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW);
  if (fd < 0) Fail("open", path);
  uint64_t hash = 0xcbf29ce484222325;
  for (;;) {
    size_t have = 0;
    while (have < buffer.size()) {
      ssize_t count = read(fd, buffer.data() + have, buffer.size() - have);
      if (count < 0) Fail("read", path);
      if (count == 0) break;
      have += count;
    }
    size_t at = 0;
    for (; at + 8 <= have; at += 8) {
      uint64_t word;
      memcpy(&word, buffer.data() + at, 8);
      hash = (hash ^ word) * 0x100000001b3;
      hash ^= hash >> 29;
    }
    for (; at < have; at++) {
      hash = (hash ^ static_cast<unsigned char>(buffer[at])) * 0x100000001b3;
    }
    if (have < buffer.size()) break;
  }
  close(fd);
  return hash;
}

std::string Xattrs(const std::string& path) {
  static std::vector<char> names(1 << 16), value(1 << 16);
  ssize_t length = llistxattr(path.c_str(), names.data(), names.size());
  std::vector<std::string> parts;
  for (ssize_t at = 0; at < length; at += strlen(names.data() + at) + 1) {
    const char* name = names.data() + at;
    ssize_t size = lgetxattr(path.c_str(), name, value.data(), value.size());
    if (size < 0) Fail(name, path);
    parts.push_back(Escape(name) + "=" + Escape(std::string(value.data(), size)));
  }
  std::sort(parts.begin(), parts.end());
  std::string all;
  for (const auto& part : parts) all += (all.empty() ? "" : ",") + part;
  return all;
}

void List(const std::string& root, const std::string& below) {
  const std::string path = root + below;
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) Fail("lstat", path);
  const bool is_folder = S_ISDIR(info.st_mode);
  const bool is_device = S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode);
  std::string target;
  if (S_ISLNK(info.st_mode)) {
    static char buffer[8192];
    ssize_t length = readlink(path.c_str(), buffer, sizeof buffer);
    if (length < 0) Fail("readlink", path);
    target.assign(buffer, length);
  }
  printf("%s %o %u %u %ju %u:%u %" PRId64 ".%09ld %jd %016" PRIx64 " %s %s\n",
         Escape(below.empty() ? "/" : below).c_str(), info.st_mode, info.st_uid, info.st_gid,
         is_folder ? 0 : static_cast<uintmax_t>(info.st_nlink),
         is_device ? major(info.st_rdev) : 0, is_device ? minor(info.st_rdev) : 0,
         static_cast<int64_t>(info.st_mtim.tv_sec), info.st_mtim.tv_nsec,
         is_folder ? 0 : static_cast<intmax_t>(info.st_size),
         S_ISREG(info.st_mode) ? HashFile(path) : 0, Escape(target).c_str(),
         Xattrs(path).c_str());
  if (!is_folder) return;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) Fail("opendir", path);
  std::vector<std::string> names;
  while (dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(folder);
  std::sort(names.begin(), names.end());
  for (const auto& name : names) List(root, below + "/" + name);
}

}  // namespace

int main(int argc, char** argv) {
  const bool mounts = argc == 4 && strcmp(argv[1], "--erofs") == 0;
  if (argc != 2 && !mounts) {
    fprintf(stderr, "list-tree [--erofs DEVICE] DIR\n");
    return 2;
  }
  std::string root = argv[argc - 1];
  if (mounts && mount(argv[2], root.c_str(), "erofs", MS_RDONLY, nullptr) != 0) Fail("mount", root);
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  List(root == "/" ? "" : root, "");
  return 0;
}
