#ifndef MSB_KRUN_VM_CONFIG_H_
#define MSB_KRUN_VM_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace msb {

// A microVM as the supervisor gets it (native/README.md), parsed and range-checked. The addon uses
// the same code, so that a bad config is refused before a process is started.
struct VmConfig {
  enum class Driver { kLibkrun, kQemu };
  struct Disk {
    std::string id;
    std::string path;
    bool read_only = true;
  };

  Driver driver = Driver::kLibkrun;
  bool detached = false;
  int64_t lease_ms = 0;
  int vcpu_count = 1;
  int64_t memory_mib = 0;
  std::vector<std::string> channels;
  std::vector<Disk> disks;

  // libkrun
  std::string libkrun_path;
  std::string kernel_path;
  uint32_t kernel_format = 0;
  std::string kernel_command_line;

  // QEMU
  std::string qemu_path;
  std::vector<std::string> qemu_args;

  // Errors name the field as operation().
  static StatusOr<VmConfig> Parse(std::string_view json);

  // The file descriptor of a channel's listening socket in the supervisor, by its place in
  // `channels`.
  static constexpr int kFirstListenerFd = 6;
};

inline constexpr size_t kMaxConfigBytes = 256 * 1024;
inline constexpr size_t kMaxChannels = 8;

}  // namespace msb

#endif  // MSB_KRUN_VM_CONFIG_H_
