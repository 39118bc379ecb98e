#ifndef MSB_VMM_VM_ENTRY_H_
#define MSB_VMM_VM_ENTRY_H_

#include <sys/types.h>

#include <cstddef>
#include <vector>

#include "krun/vm_config.h"

namespace msb::vmm {

// What the new VM process has from its supervisor. The descriptors stay open until the process
// ends.
struct VmEntry {
  pid_t supervisor = -1;
  // Takes one JSON line a stage: {"stage":"entering",…} or
  // {"stage":"failed","step":…,"errno":…,"message":…}. The supervisor trusts nothing else of it,
  // because the guest may get hold of this process.
  int messages = -1;
  int output = -1;
  std::vector<int> channels;
  // What QEMU inherits besides.
  std::vector<int> files;
};

inline constexpr size_t kMaxMessageBytes = 8 * 1024;

// Confines this process to its VM and enters the hypervisor. Returns only on failure, with the exit
// code.
int EnterVm(const krun::VmConfig& config, const VmEntry& entry);

}  // namespace msb::vmm

#endif  // MSB_VMM_VM_ENTRY_H_
