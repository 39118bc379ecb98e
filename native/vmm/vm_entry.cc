#include "vmm/vm_entry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd_util.h"
#include "base/json.h"
#include "krun/krun_context.h"
#include "krun/libkrun.h"
#include "vmm/confine.h"
#include "vmm/sanitize.h"
#include "vmm/vm_process.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace msb::vmm {
namespace {

// Where QEMU finds its first channel.
constexpr int kFirstQemuFd = 3;
// Above every number that is given a meaning.
constexpr int kParkingFd = 64;
constexpr uint32_t kKrunLogWarn = 2;
constexpr std::string_view kPortPrefix = "msb-";

void Say(int fd, Json::Object message) {
  const Status lost_reader = WriteAll(fd, Json(std::move(message)).Serialize() + "\n");
  (void)lost_reader;
}

// If the supervisor is killed, so are we.
Status DieWithSupervisor(pid_t supervisor) {
#ifdef __linux__
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Status::Errno("prctl", "pdeathsig");
  // It may have gone before the call.
  if (getppid() != supervisor) raise(SIGKILL);
#else
  (void)supervisor;
#endif
  return Status();
}

Status TakeStandardStreams(int output) {
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return Status::Errno("open", "/dev/null");
  if (dup2(null.get(), 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) {
    return Status::Errno("dup2", "cannot set the standard streams");
  }
  return Status();
}

// A disk or kernel that is not there is told apart from a hypervisor that cannot use it.
Status CheckFile(const std::string& what, const std::string& path, bool read_only) {
  // Not blocking: the file could be a FIFO.
  UniqueFd file(
      open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return Status::Errno("open", what + " " + path);
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) return Status::Errno("fstat", what + " " + path);
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return Status::Error("open", EINVAL, what + " " + path + ": neither a file nor a block device");
  }
  return Status();
}

Status CheckFiles(const krun::VmConfig& config) {
  for (const krun::DiskConfig& disk : config.disks) {
    MSB_RETURN_IF_ERROR(CheckFile("disk " + disk.id, disk.path, disk.read_only));
  }
  if (config.driver != krun::Driver::kLibkrun) return Status();
  MSB_RETURN_IF_ERROR(CheckFile("kernel", config.kernel_path, true));
  return CheckFile("initramfs", config.initramfs_path, true);
}

// A disk does not grow, so nothing the VM process writes is longer than its largest writable one.
Status LimitToDisks(const krun::VmConfig& config) {
  uint64_t largest = 0;
  for (const krun::DiskConfig& disk : config.disks) {
    struct stat info = {};
    // A missing disk is reported later, with its name.
    if (disk.read_only || stat(disk.path.c_str(), &info) != 0) continue;
    largest = std::max(largest, static_cast<uint64_t>(info.st_size));
  }
  return LimitFileSize(largest);
}

void SayEntering(const VmEntry& entry, std::vector<std::string> confinement) {
  Json::Array names;
  for (std::string& name : confinement) names.push_back(Json(std::move(name)));
  Say(entry.messages, {{"stage", Json("entering")}, {"confinement", Json(std::move(names))}});
}

Status EnterLibkrun(const krun::VmConfig& config, const VmEntry& entry) {
  std::vector<int> keep = entry.channels;
  keep.insert(keep.end(), {0, 1, 2, entry.messages});
  CloseAllExcept(std::move(keep));

  StatusOr<const krun::Library*> library = krun::LoadLibrary(config.libkrun_path);
  if (!library.ok()) return library.status();
  Say(entry.messages, {{"stage", Json("libkrun-loaded")}});
  library.value()->set_log_level(kKrunLogWarn);
  MSB_RETURN_IF_ERROR(CheckFiles(config));
  StatusOr<krun::KrunContext> context = krun::KrunContext::Create(*library.value());
  if (!context.ok()) return context.status();
  MSB_RETURN_IF_ERROR(context.value().Configure(config));
  // The console first: the guest numbers its hvc devices in this order.
  for (size_t i = 0; i < config.channels.size(); ++i) {
    if (config.channels[i] != krun::kConsoleChannel) continue;
    MSB_RETURN_IF_ERROR(context.value().AddConsole(entry.channels[i]));
  }
  for (size_t i = 0; i < config.channels.size(); ++i) {
    if (config.channels[i] == krun::kConsoleChannel) continue;
    MSB_RETURN_IF_ERROR(
        context.value().AddPort(std::string(kPortPrefix) + config.channels[i], entry.channels[i]));
  }
  StatusOr<std::vector<std::string>> confinement = Confine(config);
  if (!confinement.ok()) return confinement.status();
  SayEntering(entry, std::move(confinement.value()));
  return context.value().Enter();
}

// Puts the channels at 3, 4, … and the files behind them; everything else is closed, the message
// pipe by a successful execve.
Status PlaceQemuFds(const VmEntry& entry, int* messages) {
  std::vector<int> inherited = entry.channels;
  inherited.insert(inherited.end(), entry.files.begin(), entry.files.end());
  std::vector<int> parked;
  for (const int fd : inherited) {
    parked.push_back(fcntl(fd, F_DUPFD_CLOEXEC, kParkingFd));
    if (parked.back() < 0) return Status::Errno("fcntl", "cannot move a channel or file");
  }
  const int moved = fcntl(entry.messages, F_DUPFD_CLOEXEC, kParkingFd);
  if (moved < 0) return Status::Errno("fcntl", "cannot move the message pipe");
  *messages = moved;
  std::vector<int> keep = {0, 1, 2, *messages};
  for (size_t i = 0; i < parked.size(); ++i) {
    const int fd = kFirstQemuFd + static_cast<int>(i);
    if (dup2(parked[i], fd) < 0) return Status::Errno("dup2", "cannot place a channel or file");
    keep.push_back(fd);
  }
  CloseAllExcept(std::move(keep));
  return Status();
}

Status EnterQemu(const krun::VmConfig& config, VmEntry* entry) {
  MSB_RETURN_IF_ERROR(PlaceQemuFds(*entry, &entry->messages));
  MSB_RETURN_IF_ERROR(CheckFiles(config));
  if (access(config.qemu_path.c_str(), X_OK) != 0) return Status::Errno("access", config.qemu_path);
  std::vector<char*> argv = {const_cast<char*>(config.qemu_path.c_str())};
  for (const std::string& argument : config.qemu_args)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  StatusOr<std::vector<std::string>> confinement = Confine(config);
  if (!confinement.ok()) return confinement.status();
  SayEntering(*entry, std::move(confinement.value()));
  signal(SIGPIPE, SIG_DFL);
  execve(config.qemu_path.c_str(), argv.data(), environment);
  return Status::Errno("execve", config.qemu_path);
}

Status Enter(const krun::VmConfig& config, VmEntry* entry) {
  ResetSignals();
  // libkrun's threads must survive a write to a channel that has just been closed.
  signal(SIGPIPE, SIG_IGN);
  MSB_RETURN_IF_ERROR(DieWithSupervisor(entry->supervisor));
  MSB_RETURN_IF_ERROR(TakeStandardStreams(entry->output));
  MSB_RETURN_IF_ERROR(LimitToDisks(config));
  return config.driver == krun::Driver::kLibkrun ? EnterLibkrun(config, *entry)
                                                 : EnterQemu(config, entry);
}

}  // namespace

int EnterVm(const krun::VmConfig& config, const VmEntry& entry) {
  VmEntry own = entry;
  const Status status = Enter(config, &own);
  Say(own.messages, {{"stage", Json("failed")},
                     {"step", Json(status.operation())},
                     {"errno", Json(status.error_number())},
                     {"message", Json(status.message().substr(0, kMaxMessageBytes / 8))}});
  return kFailedExitCode;
}

}  // namespace msb::vmm
