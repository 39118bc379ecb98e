#ifndef MSB_VMM_SUPERVISOR_H_
#define MSB_VMM_SUPERVISOR_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "krun/vm_config.h"
#include "vmm/boot_report.h"
#include "vmm/channel.h"
#include "vmm/signal_pipe.h"
#include "vmm/vm_process.h"

namespace msb::vmm {

// Starts the VM process, relays its channels, ends it when its owner or its lease is gone, and
// reports how it ended. One thread, one poll loop.
class Supervisor {
 public:
  // Both must outlive the supervisor.
  Supervisor(const krun::VmConfig& config, BootReport* report);

  // Takes the inherited descriptors of native/README.md. Returns the exit code of msb-vmm.
  int Run();

 private:
  Status Start();
  // One round: waits for the next event and handles it.
  void Step();
  void HandleSignals();
  void ReadMessages();
  void HandleMessage(std::string_view line);
  void ReadOutput();
  void ReportAlive();
  int64_t LeaseLeftMs();
  void EndVm(const char* reason);
  void Reap();
  void FlushChannels();
  int ReportEnd();

  const krun::VmConfig& config_;
  BootReport* const report_;
  SignalPipe signals_;
  UniqueFd lifeline_;
  VmProcess vm_;
  std::vector<std::unique_ptr<Channel>> channels_;
  Channel* agent_ = nullptr;
  Channel* console_ = nullptr;

  // Each stage is reported once, however often the VM process says it.
  bool is_loaded_ = false;
  bool has_entered_ = false;
  std::string messages_;
  std::string stderr_tail_;
  bool is_alive_ = false;
  // Since when no host has been connected to the agent's channel.
  int64_t alone_since_micros_ = 0;
  // Why we ended the VM; null as long as we have not.
  const char* end_reason_ = nullptr;
  Status failure_;
  bool is_reaped_ = false;
  int wait_status_ = 0;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_SUPERVISOR_H_
