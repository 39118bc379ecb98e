#ifndef MSB_AGENT_PROCESS_SPAWN_H_
#define MSB_AGENT_PROCESS_SPAWN_H_

#include <sys/types.h>

#include "agent/messages.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// A child on its way to its program, and the agent's ends of what it reads and writes.
struct SpawnedProcess {
  pid_t pid = 0;
  // Not valid without stdin.
  UniqueFd input;
  // The pty's master, or what comes from stdout. All non-blocking.
  UniqueFd output;
  // Not valid with a pty.
  UniqueFd error_output;
  // The agent's end of the control channel, both ways; not valid without one. Non-blocking.
  UniqueFd control;
  // End of file: the program runs. Else a SpawnFailure comes first.
  UniqueFd start_report;
};

// The status of what the child wrote to `start_report`; ok when it wrote nothing.
Status ReadStartReport(int start_report, const ExecStartRequest& request);

// Makes the child. `cgroup_directory` may be -1. The operation of a failure is one of those that
// PROTOCOL.md lists for the code `exec`.
StatusOr<SpawnedProcess> SpawnProcess(const ExecStartRequest& request, int cgroup_directory);

Status ResizePty(int pty, const PtySize& size);

}  // namespace msb::agent

#endif  // MSB_AGENT_PROCESS_SPAWN_H_
