#ifndef MSB_VMM_VM_PROCESS_H_
#define MSB_VMM_VM_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "krun/vm_config.h"
#include "vmm/boot_report.h"

namespace msb::vmm {

// The supervisor's ends of what leads into the VM process.
struct VmProcess {
  pid_t pid = -1;
  UniqueFd standard_error;
  // One for each channel of the config, in its order; non-blocking.
  std::vector<UniqueFd> channels;
};

// Name of the channel that is the guest's console.
inline constexpr const char* kConsoleChannel = "console";

// Forks the process that becomes the VM. It dies with the supervisor. What goes wrong in it is
// reported as `failed` and ends it with status 125.
StatusOr<VmProcess> StartVmProcess(const VmConfig& config, const BootReport& report);

}  // namespace msb::vmm

#endif  // MSB_VMM_VM_PROCESS_H_
