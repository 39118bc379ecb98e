#include "vmm/vm_process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>

#include "base/fd_ops.h"
#include "krun/krun_context.h"
#include "krun/libkrun.h"
#include "vmm/confine.h"
#include "vmm/sanitize.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace msb::vmm {
namespace {

constexpr int kFailureStatus = 125;
// QEMU's channels begin here (native/README.md).
constexpr int kFirstChildFd = 3;
// Above every descriptor that is put in place for QEMU.
constexpr int kParkedFd = 100;
// Errors and warnings of libkrun go to standard error.
constexpr uint32_t kKrunLogWarn = 2;

// The VM process's ends.
struct ChildEnds {
  UniqueFd standard_error;
  std::vector<UniqueFd> channels;
};

StatusOr<FdPair> MakeConsoleTty() {
  FdPair pair{UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), UniqueFd()};
  const int master = pair.first.get();
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
    return Status::Errno("posix_openpt", "cannot make a terminal for the console");
  }
  const char* name = ptsname(master);
  if (name == nullptr) return Status::Errno("ptsname", "cannot make a terminal for the console");
  pair.second.Reset(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios mode{};
  if (!pair.second.valid() || tcgetattr(pair.second.get(), &mode) != 0) {
    return Status::Errno("open", std::string("cannot open the console's terminal ") + name);
  }
  cfmakeraw(&mode);
  if (tcsetattr(pair.second.get(), TCSANOW, &mode) != 0) {
    return Status::Errno("tcsetattr", "cannot make the console's terminal raw");
  }
  return pair;
}

Status MakeChannels(const VmConfig& config, VmProcess* vm, ChildEnds* child) {
  for (const std::string& name : config.channels) {
    const bool is_tty = config.driver == VmConfig::Driver::kLibkrun && name == kConsoleChannel;
    StatusOr<FdPair> pair = is_tty ? MakeConsoleTty() : MakeSocketPair();
    if (!pair.ok()) return pair.status();
    MSB_RETURN_IF_ERROR(SetNonBlocking(pair.value().first.get()));
    vm->channels.push_back(std::move(pair.value().first));
    child->channels.push_back(std::move(pair.value().second));
  }
  StatusOr<FdPair> errors = MakePipe();
  if (!errors.ok()) return errors.status();
  MSB_RETURN_IF_ERROR(SetNonBlocking(errors.value().first.get()));
  vm->standard_error = std::move(errors.value().first);
  child->standard_error = std::move(errors.value().second);
  return Status();
}

Status ConfineAndReport(const VmConfig& config, const BootReport& report) {
  StatusOr<std::vector<std::string>> measures = Confine(config);
  if (!measures.ok()) return measures.status();
  Json::Array list;
  for (std::string& measure : measures.value()) list.emplace_back(std::move(measure));
  report.Stage("entering", {{"confinement", Json(std::move(list))}});
  return Status();
}

Status EnterLibkrun(const VmConfig& config, const ChildEnds& child, const BootReport& report) {
  StatusOr<const Libkrun*> library = Libkrun::Load(config.libkrun_path);
  if (!library.ok()) return library.status();
  report.Stage("libkrun-loaded");
  library.value()->set_log_level(kKrunLogWarn);
  StatusOr<std::unique_ptr<KrunContext>> context = KrunContext::Create(*library.value());
  if (!context.ok()) return context.status();
  int console_tty = -1;
  std::vector<std::pair<std::string, int>> ports;
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const int fd = child.channels[i].get();
    if (config.channels[i] == kConsoleChannel) {
      console_tty = fd;
    } else {
      ports.emplace_back("msb-" + config.channels[i], fd);
    }
  }
  MSB_RETURN_IF_ERROR(context.value()->SetMachine(config));
  MSB_RETURN_IF_ERROR(context.value()->SetDevices(config, console_tty, ports));
  MSB_RETURN_IF_ERROR(ConfineAndReport(config, report));
  return context.value()->Enter();
}

Status ExecQemu(const VmConfig& config, const ChildEnds& child, BootReport* report) {
  // Everything is parked high first, so that putting one in its place cannot close another.
  const int report_fd = fcntl(report->fd(), F_DUPFD_CLOEXEC, kParkedFd);
  if (report_fd < 0) return Status::Errno("fcntl", "cannot keep the report open");
  std::vector<int> parked;
  for (const UniqueFd& fd : child.channels) {
    parked.push_back(fcntl(fd.get(), F_DUPFD_CLOEXEC, kParkedFd));
    if (parked.back() < 0) return Status::Errno("fcntl", "cannot pass a channel to QEMU");
  }
  report->set_fd(report_fd);
  for (size_t i = 0; i < parked.size(); ++i) {
    if (dup2(parked[i], kFirstChildFd + static_cast<int>(i)) < 0) {
      return Status::Errno("dup2", "cannot pass a channel to QEMU");
    }
  }
  for (int fd = kFirstChildFd + static_cast<int>(parked.size()); fd < kParkedFd; ++fd) close(fd);
  std::vector<char*> argv = {const_cast<char*>(config.qemu_path.c_str())};
  for (const std::string& arg : config.qemu_args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char* const no_environment[] = {nullptr};
  MSB_RETURN_IF_ERROR(ConfineAndReport(config, *report));
  // Until here a report that nobody reads must not end the VM.
  std::signal(SIGPIPE, SIG_DFL);
  execve(config.qemu_path.c_str(), argv.data(), no_environment);
  Status status = Status::Errno("execve", "cannot execute " + config.qemu_path);
  std::signal(SIGPIPE, SIG_IGN);
  return status;
}

[[noreturn]] void RunChild(const VmConfig& config, ChildEnds child, BootReport report,
                           pid_t supervisor) {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != supervisor) _exit(kFailureStatus);
#endif
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGCHLD, SIG_DFL);
  dup2(child.standard_error.get(), STDOUT_FILENO);
  dup2(child.standard_error.get(), STDERR_FILENO);
  child.standard_error.Reset();
  const Status status = config.driver == VmConfig::Driver::kLibkrun
                            ? EnterLibkrun(config, child, report)
                            : ExecQemu(config, child, &report);
  report.Failed(status);
  _exit(kFailureStatus);
}

// All but standard streams, report and its own ends of the channels is not the VM process's
// business.
void CloseForeign(const ChildEnds& child, const BootReport& report) {
  std::vector<int> keep = {report.fd(), child.standard_error.get()};
  for (const UniqueFd& fd : child.channels) keep.push_back(fd.get());
  CloseAllBut(std::move(keep), kFirstChildFd);
}

}  // namespace

StatusOr<VmProcess> StartVmProcess(const VmConfig& config, const BootReport& report) {
  VmProcess vm;
  ChildEnds child;
  MSB_RETURN_IF_ERROR(MakeChannels(config, &vm, &child));
  const pid_t supervisor = getpid();
  vm.pid = fork();
  if (vm.pid < 0) return Status::Errno("fork", "cannot start the VM process");
  if (vm.pid == 0) {
    CloseForeign(child, report);
    RunChild(config, std::move(child), report, supervisor);
  }
  return vm;
}

}  // namespace msb::vmm
