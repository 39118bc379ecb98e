#ifndef MSB_VMM_SUPERVISOR_H_
#define MSB_VMM_SUPERVISOR_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "krun/vm_config.h"
#include "vmm/boot_report.h"
#include "vmm/channel_relay.h"
#include "vmm/vm_process.h"

namespace msb::vmm {

// Watches one VM process until it has ended: relays its channels, ends it when its owner, its lease
// or a signal says so, and reports how it ended. One thread, one poll() loop.
class Supervisor {
 public:
  // `signals` is the read end of a pipe that gets one byte, the number, for each SIGCHLD and
  // SIGTERM; `lifeline` is invalid when detached.
  Supervisor(const VmConfig& config, const BootReport& report, VmProcess vm, UniqueFd lifeline,
             UniqueFd signals);

  void Run();

 private:
  void WaitForEvents();
  void HandleSignals();
  void HandleStandardError();
  void CheckLease();
  void End(const char* reason);
  void Reap();
  int PollTimeoutMs() const;
  bool IsFinished() const;
  void ReportExit();

  const BootReport report_;
  const int64_t lease_ms_;
  const pid_t vm_pid_;
  UniqueFd standard_error_;
  UniqueFd lifeline_;
  UniqueFd signals_;
  std::vector<ChannelRelay> relays_;
  size_t agent_ = 0;
  std::string stderr_tail_;
  const char* reason_ = nullptr;
  int wait_status_ = 0;
  bool vm_gone_ = false;
  bool alive_reported_ = false;
  double host_seen_ms_;
  double flush_until_ms_ = 0;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_SUPERVISOR_H_
