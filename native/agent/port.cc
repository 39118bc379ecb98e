#include "agent/port.h"

#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include <memory>
#include <string>

#include "agent/clock.h"
#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr char kPortsFolder[] = "/sys/class/virtio-ports";
constexpr timespec kRetryPause = {0, 2'000'000};

// The device name (vport0p1) of the port; empty while there is none.
std::string FindPort(std::string_view name) {
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(kPortsFolder), closedir);
  if (folder == nullptr) return "";
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    const std::string device = entry->d_name;
    StatusOr<std::string> text =
        ReadSmallFile(std::string(kPortsFolder) + "/" + device + "/name", 256);
    if (!text.ok()) continue;
    std::string_view found = text.value();
    if (found.ends_with('\n')) found.remove_suffix(1);
    if (found == name) return device;
  }
  return "";
}

}  // namespace

StatusOr<UniqueFd> OpenPort(std::string_view name, int64_t timeout_ms) {
  const int64_t deadline = MonotonicMs() + timeout_ms;
  while (true) {
    const std::string device = FindPort(name);
    if (!device.empty()) {
      UniqueFd fd(open(("/dev/" + device).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
      if (fd.valid()) return fd;
      if (MonotonicMs() >= deadline) return Status::Errno("open", "/dev/" + device);
    }
    if (MonotonicMs() >= deadline) {
      return Status::Error("open", ENODEV, "there is no port " + std::string(name));
    }
    nanosleep(&kRetryPause, nullptr);
  }
}

}  // namespace msb::agent
