#ifndef MSB_KRUN_VM_CONFIG_H_
#define MSB_KRUN_VM_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace msb::krun {

inline constexpr size_t kMaxConfigBytes = 256 * 1024;
inline constexpr size_t kMaxChannels = 16;
inline constexpr size_t kMaxFiles = 4;
inline constexpr std::string_view kAgentChannel = "agent";
inline constexpr std::string_view kConsoleChannel = "console";

enum class Driver { kLibkrun, kQemu };
// The values are libkrun's KRUN_KERNEL_FORMAT_*.
enum class KernelFormat : uint32_t { kRaw = 0, kElf = 1 };

struct DiskConfig {
  std::string id;
  std::string path;
  bool read_only = true;
};

// The config of native/README.md, parsed and range-checked. Nothing in it has been looked up on the
// host yet.
struct VmConfig {
  Driver driver = Driver::kLibkrun;
  bool detached = false;
  int64_t lease_ms = 0;
  int vcpu_count = 1;
  uint32_t memory_mib = 0;
  std::vector<std::string> channels;
  std::vector<DiskConfig> disks;

  std::string libkrun_path;
  std::string kernel_path;
  KernelFormat kernel_format = KernelFormat::kElf;
  std::string initramfs_path;
  std::string kernel_command_line;

  std::string qemu_path;
  std::vector<std::string> qemu_args;
  // Open files that QEMU inherits.
  size_t file_count = 0;
};

// An error's operation() is the field's name: "memoryMiB", "disks[1].path".
StatusOr<VmConfig> ParseVmConfig(std::string_view text);

}  // namespace msb::krun

#endif  // MSB_KRUN_VM_CONFIG_H_
