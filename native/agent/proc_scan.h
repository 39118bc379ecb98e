#ifndef MSB_AGENT_PROC_SCAN_H_
#define MSB_AGENT_PROC_SCAN_H_

#include <sys/types.h>

#include <functional>

namespace msb::agent {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t session = 0;
  bool is_kernel_thread = false;
  bool is_zombie = false;
};

// Calls `visit` for each process of /proc.
void ForEachProcess(const std::function<void(const ProcessInfo&)>& visit);

}  // namespace msb::agent

#endif  // MSB_AGENT_PROC_SCAN_H_
