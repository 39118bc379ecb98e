// msb-vmm: the supervisor of one microVM. See native/README.md for its descriptors, config and
// report.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "base/fd_ops.h"
#include "krun/vm_config.h"
#include "vmm/boot_report.h"
#include "vmm/sanitize.h"
#include "vmm/supervisor.h"
#include "vmm/vm_process.h"

namespace msb::vmm {
namespace {

constexpr int kConfigFd = 3;
constexpr int kReportFd = 4;
constexpr int kLifelineFd = 5;
constexpr int kFailureStatus = 125;

int signal_pipe = -1;

void NoteSignal(int number) {
  const int saved_errno = errno;
  const unsigned char byte = static_cast<unsigned char>(number);
  (void)!write(signal_pipe, &byte, 1);
  errno = saved_errno;
}

StatusOr<UniqueFd> WatchSignals() {
  StatusOr<FdPair> pipe = MakePipe();
  if (!pipe.ok()) return pipe.status();
  MSB_RETURN_IF_ERROR(SetNonBlocking(pipe.value().first.get()));
  MSB_RETURN_IF_ERROR(SetNonBlocking(pipe.value().second.get()));
  signal_pipe = pipe.value().second.Release();
  struct sigaction action {};
  action.sa_handler = NoteSignal;
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  sigaction(SIGCHLD, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return std::move(pipe.value().first);
}

StatusOr<VmConfig> ReadConfig() {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ReadRetry(kConfigFd, buffer, sizeof buffer);
    if (count < 0) return Status::Errno("read", "cannot read the config");
    if (count == 0) break;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMaxConfigBytes) return Status::Invalid("config", "the config is too long");
  }
  close(kConfigFd);
  return VmConfig::Parse(text);
}

Status Supervise(const BootReport& report) {
  StatusOr<VmConfig> config = ReadConfig();
  if (!config.ok()) return config.status();
  CloseAllBut({}, VmConfig::kFirstListenerFd + static_cast<int>(config.value().channels.size()));
  UniqueFd lifeline(kLifelineFd);
  if (config.value().detached) lifeline.Reset();
  MSB_RETURN_IF_ERROR(LimitResources(config.value()));
  report.Stage("configured");
  StatusOr<UniqueFd> signals = WatchSignals();
  if (!signals.ok()) return signals.status();
  StatusOr<VmProcess> vm = StartVmProcess(config.value(), report);
  if (!vm.ok()) return vm.status();
  report.Stage("forked", {{"pid", Json(static_cast<int64_t>(vm.value().pid))}});
  Supervisor(config.value(), report, std::move(vm.value()), std::move(lifeline),
             std::move(signals.value()))
      .Run();
  return Status();
}

}  // namespace
}  // namespace msb::vmm

int main() {
  using namespace msb;
  using namespace msb::vmm;
  const BootReport report(kReportFd);
  SanitizeProcess();
  (void)SetNonBlocking(kReportFd);
  (void)SetCloseOnExec(kReportFd, true);
  report.Stage("sanitized");
  if (const Status status = Supervise(report); !status.ok()) {
    report.Failed(status);
    return kFailureStatus;
  }
  return 0;
}
