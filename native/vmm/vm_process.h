#ifndef MSB_VMM_VM_PROCESS_H_
#define MSB_VMM_VM_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "krun/vm_config.h"

namespace msb::vmm {

// Exit code of a VM process that could not enter the hypervisor.
inline constexpr int kFailedExitCode = 125;

// The process that runs the hypervisor, seen from the supervisor.
struct VmProcess {
  pid_t pid = -1;
  // Our ends of the channels, in the config's order; non-blocking.
  std::vector<UniqueFd> channels;
  // What the process says on the way in, see VmMessage; ends when QEMU has been executed.
  UniqueFd messages;
  // Its standard output and standard error.
  UniqueFd output;
};

// Forks it. From there on the new process either enters the hypervisor or says why not and exits.
StatusOr<VmProcess> StartVmProcess(const krun::VmConfig& config);

}  // namespace msb::vmm

#endif  // MSB_VMM_VM_PROCESS_H_
