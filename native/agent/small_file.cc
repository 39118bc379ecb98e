#include "agent/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/unique_fd.h"

namespace msb::agent {

StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes) {
  // Without O_NONBLOCK a fifo in the place of the file would block the agent.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return Status::Errno("open", path);
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Status::Errno("read", path);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > max_bytes) return Status::Error("read", EFBIG, path + " is too long");
  }
}

int64_t ReadNumber(const std::string& path, int64_t fallback) {
  StatusOr<std::string> text = ReadSmallFile(path, 64);
  if (!text.ok()) return fallback;
  const int64_t value = std::strtoll(text.value().c_str(), nullptr, 10);
  return value > 0 ? value : fallback;
}

int64_t NumberOf(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ' ') {
      return std::strtoll(line.c_str() + name.size(), nullptr, 10);
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}

Status WriteSmallFile(const std::string& path, std::string_view text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Errno("open", path);
  if (write(fd.get(), text.data(), text.size()) < 0) return Status::Errno("write", path);
  return {};
}

}  // namespace msb::agent
