// msb-vmm: supervises one microVM. See native/README.md for what it is given and what it answers.
#include <unistd.h>

#include <string>
#include <utility>

#include "base/fd_util.h"
#include "base/json.h"
#include "base/process_identity.h"
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

// The supervisor names itself, so that a VM can be found whose owner was killed before it could.
Json::Object OwnIdentity() {
  Json::Object facts = {{"pid", Json(static_cast<int64_t>(getpid()))}};
  StatusOr<std::string> start_time = ProcessStartTime(getpid());
  if (start_time.ok()) facts["startTime"] = Json(std::move(start_time.value()));
  return facts;
}

Json::Object Facts(const krun::VmConfig& config) {
  return {{"driver", Json(config.driver == krun::Driver::kLibkrun ? "libkrun" : "qemu")},
          {"detached", Json(config.detached)}};
}

int Main() {
  const bool has_file = SetCloseOnExec(kReportFileFd, true).ok();
  BootReport report(kReportFd, has_file ? kReportFileFd : -1, MonotonicMicros());
  if (const Status status = Sanitize(); !status.ok()) {
    report.Failed(status);
    return kFailedExitCode;
  }
  const Status kept_private = SetCloseOnExec(kReportFd, true);
  (void)kept_private;
  report.Stage("sanitized", {}, OwnIdentity());
  StatusOr<krun::VmConfig> config = ReadConfig();
  if (!config.ok()) {
    report.Failed(config.status());
    return kFailedExitCode;
  }
  CloseUnusedFds(config.value());
  report.Stage("configured", {}, Facts(config.value()));
  return Supervisor(config.value(), &report).Run();
}

}  // namespace
}  // namespace msb::vmm

int main() { return msb::vmm::Main(); }
