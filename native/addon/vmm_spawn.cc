#include "addon/vmm_spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "base/fd_util.h"
#include "krun/vm_config.h"

#ifdef __linux__
#include <sys/mman.h>
#include <sys/syscall.h>
#endif

namespace msb::addon {
namespace {

// Above the descriptors of msb-vmm, so that putting one in place never overwrites another.
constexpr int kParkingFd = 32;
constexpr int kListenBacklog = 16;

// Listening sockets whose files are removed again unless they are kept.
class Listeners {
 public:
  Listeners() = default;
  Listeners(const Listeners&) = delete;
  ~Listeners() {
    for (const std::string& path : paths_) unlink(path.c_str());
  }

  Status Add(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
      return Status::Invalid("channels",
                             "the socket path \"" + path + "\" is not an absolute path");
    }
    if (path.size() >= sizeof address.sun_path) {
      return Status::Error("bind", ENAMETOOLONG,
                           "the socket path " + path + " is longer than " +
                               std::to_string(sizeof address.sun_path - 1) +
                               " bytes, the limit of unix sockets: use a shorter MSB_HOME");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
#ifdef __linux__
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
#else
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM, 0));
    if (listener.valid()) MSB_RETURN_IF_ERROR(SetCloseOnExec(listener.get(), true));
#endif
    if (!listener.valid()) return Status::Errno("socket", "cannot make a socket");
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return Status::Errno("bind", path);
    }
    paths_.push_back(path);
    // Nobody can connect before listen(), so the mode is right from the start.
    if (chmod(path.c_str(), 0600) != 0) return Status::Errno("chmod", path);
    if (listen(listener.get(), kListenBacklog) != 0) return Status::Errno("listen", path);
    fds_.push_back(std::move(listener));
    return Status();
  }

  const std::vector<UniqueFd>& fds() const { return fds_; }
  void Keep() { paths_.clear(); }

 private:
  std::vector<UniqueFd> fds_;
  std::vector<std::string> paths_;
};

// A new file for the supervisor's report, removed again unless it is kept.
class ReportFile {
 public:
  ReportFile() = default;
  ReportFile(const ReportFile&) = delete;
  ~ReportFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }

  Status Create(const std::string& path) {
    if (path.front() != '/' || path.find('\0') != std::string::npos) {
      return Status::Invalid("reportPath", "\"" + path + "\" is not an absolute path");
    }
    // Appending: whoever else has it open cannot make the supervisor overwrite its own lines.
    fd_.Reset(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
    if (!fd_.valid()) return Status::Errno("open", path);
    path_ = path;
    return Status();
  }

  int fd() const { return fd_.get(); }
  void Keep() { path_.clear(); }

 private:
  UniqueFd fd_;
  std::string path_;
};

Status CheckRequest(const VmmRequest& request) {
  StatusOr<krun::VmConfig> config = krun::ParseVmConfig(request.config);
  if (!config.ok()) return config.status();
  if (config.value().detached != request.detached) {
    return Status::Invalid("detached", "is not what the config says");
  }
  const std::vector<std::string>& names = config.value().channels;
  bool is_same = names.size() == request.channels.size();
  for (size_t i = 0; is_same && i < names.size(); ++i)
    is_same = names[i] == request.channels[i].name;
  if (!is_same) return Status::Invalid("channels", "are not those of the config");
  if (config.value().file_count != request.files.size()) {
    return Status::Invalid("files", "are not as many as the config says");
  }
  return Status();
}

// A descriptor from which `text` can be read to its end.
StatusOr<UniqueFd> MakeConfigFd(const std::string& text) {
#ifdef __linux__
  UniqueFd file(memfd_create("msb-config", MFD_CLOEXEC));
  if (!file.valid()) return Status::Errno("memfd_create", "cannot pass the config");
  MSB_RETURN_IF_ERROR(WriteAll(file.get(), text));
  if (lseek(file.get(), 0, SEEK_SET) != 0) return Status::Errno("lseek", "cannot pass the config");
  return StatusOr<UniqueFd>(std::move(file));
#else
  UniqueFd read_end, write_end;
  MSB_RETURN_IF_ERROR(MakePipe(&read_end, &write_end));
  // A text longer than the pipe takes is an error (EAGAIN), not a hang.
  MSB_RETURN_IF_ERROR(SetNonBlocking(write_end.get()));
  MSB_RETURN_IF_ERROR(WriteAll(write_end.get(), text));
  return StatusOr<UniqueFd>(std::move(read_end));
#endif
}

// What posix_spawn is told, released in any case.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  Status Place(int fd, int as) {
    parked_.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, kParkingFd));
    if (!parked_.back().valid()) return Status::Errno("fcntl", "cannot pass a descriptor");
    return Check(posix_spawn_file_actions_adddup2(&actions_, parked_.back().get(), as));
  }

  Status Run(const std::string& path, pid_t* pid) {
    for (int fd = 0; fd <= 2; ++fd) {
      MSB_RETURN_IF_ERROR(Check(posix_spawn_file_actions_addopen(
          &actions_, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0)));
    }
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    MSB_RETURN_IF_ERROR(Check(posix_spawnattr_setsigdefault(&attributes_, &all)));
    MSB_RETURN_IF_ERROR(Check(posix_spawnattr_setsigmask(&attributes_, &none)));
    const int flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    MSB_RETURN_IF_ERROR(Check(posix_spawnattr_setflags(&attributes_, static_cast<short>(flags))));
    char* const argv[] = {const_cast<char*>(path.c_str()), nullptr};
    char* const environment[] = {nullptr};
    return Check(posix_spawn(pid, path.c_str(), &actions_, &attributes_, argv, environment), path);
  }

 private:
  static Status Check(int error_number, const std::string& what = "cannot prepare the process") {
    if (error_number == 0) return Status();
    return Status::Error("posix_spawn", error_number, what + ": " + std::strerror(error_number));
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  std::vector<UniqueFd> parked_;
};

}  // namespace

StatusOr<VmmProcess> SpawnVmm(const VmmRequest& request) {
  MSB_RETURN_IF_ERROR(CheckRequest(request));
  Listeners listeners;
  for (const ChannelSocket& channel : request.channels)
    MSB_RETURN_IF_ERROR(listeners.Add(channel.path));
  ReportFile report_file;
  if (!request.report_path.empty()) MSB_RETURN_IF_ERROR(report_file.Create(request.report_path));
  StatusOr<UniqueFd> config = MakeConfigFd(request.config);
  if (!config.ok()) return config.status();

  VmmProcess process;
  UniqueFd report_in, lifeline_out;
  MSB_RETURN_IF_ERROR(MakePipe(&process.report, &report_in));
  MSB_RETURN_IF_ERROR(SetNonBlocking(process.report.get()));

  SpawnPlan plan;
  int next = 3;
  MSB_RETURN_IF_ERROR(plan.Place(config.value().get(), next++));
  MSB_RETURN_IF_ERROR(plan.Place(report_in.get(), next++));
  if (!request.detached) {
    MSB_RETURN_IF_ERROR(MakePipe(&lifeline_out, &process.lifeline));
    MSB_RETURN_IF_ERROR(plan.Place(lifeline_out.get(), next));
  }
  ++next;
  if (report_file.fd() >= 0) MSB_RETURN_IF_ERROR(plan.Place(report_file.fd(), next));
  ++next;
  for (const UniqueFd& listener : listeners.fds())
    MSB_RETURN_IF_ERROR(plan.Place(listener.get(), next++));
  for (const int file : request.files) MSB_RETURN_IF_ERROR(plan.Place(file, next++));
  MSB_RETURN_IF_ERROR(plan.Run(request.vmm_path, &process.pid));
#if defined(__linux__) && defined(SYS_pidfd_open)
  process.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
#endif
  listeners.Keep();
  report_file.Keep();
  return StatusOr<VmmProcess>(std::move(process));
}

}  // namespace msb::addon
