#ifndef MSB_AGENT_SHUTDOWN_H_
#define MSB_AGENT_SHUTDOWN_H_

#include <cstdint>

#include "agent/reaper.h"

namespace msb::agent {

// Ends all programs, makes the disks clean and restarts the machine, which ends the VM. `upper` is
// a directory on the upper disk, or -1 when the guest was not set up. Does not return.
[[noreturn]] void ShutDown(Reaper* reaper, int64_t grace_ms, int upper);

// Restarts the machine as it stands.
[[noreturn]] void Restart();

}  // namespace msb::agent

#endif  // MSB_AGENT_SHUTDOWN_H_
