// msb-vmm: supervises one microVM. See native/README.md for what it is given and what it answers.
#include <string>
#include <utility>

#include "base/fd_util.h"
#include "krun/vm_config.h"
#include "vmm/boot_report.h"
#include "vmm/sanitize.h"
#include "vmm/supervisor.h"
#include "vmm/vm_process.h"

namespace msb::vmm {
namespace {

StatusOr<krun::VmConfig> ReadConfig() {
  StatusOr<std::string> text = ReadToEnd(kConfigFd, krun::kMaxConfigBytes);
  if (!text.ok()) return text.status();
  return krun::ParseVmConfig(text.value());
}

int Main() {
  const BootReport report(kReportFd, MonotonicMicros());
  if (const Status status = Sanitize(); !status.ok()) {
    report.Failed(status);
    return kFailedExitCode;
  }
  const Status kept_private = SetCloseOnExec(kReportFd, true);
  (void)kept_private;
  report.Stage("sanitized");
  StatusOr<krun::VmConfig> config = ReadConfig();
  if (!config.ok()) {
    report.Failed(config.status());
    return kFailedExitCode;
  }
  CloseUnusedFds(config.value());
  report.Stage("configured");
  return Supervisor(config.value(), report).Run();
}

}  // namespace
}  // namespace msb::vmm

int main() { return msb::vmm::Main(); }
