#include "addon/vmm_spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <cstring>

#include "base/fd_ops.h"

namespace msb {
namespace {

// What a pipe takes without a reader on every platform.
constexpr size_t kMaxConfigBytes = 60 * 1024;
// Above every descriptor that is put in place, so that none is overwritten before it was used.
constexpr int kParkedFd = 64;
constexpr int kFirstVmmFd = 3;
constexpr int kBacklog = 16;

StatusOr<UniqueFd> Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Status::Error("bind", ENAMETOOLONG,
                         "the socket path " + path + " is longer than the " +
                             std::to_string(sizeof address.sun_path - 1) +
                             " bytes that unix sockets allow; choose a shorter MSB_HOME");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  if (!fd.valid()) return Status::Errno("socket", "cannot make a socket");
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fd.get(), true));
  MSB_RETURN_IF_ERROR(SetNonBlocking(fd.get()));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Status::Errno("bind", path);
  }
  if (::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    Status status = Status::Errno("listen", path);
    ::unlink(path.c_str());
    return status;
  }
  return fd;
}

// Unlinks the sockets made so far unless they were handed over.
class SocketGuard {
 public:
  ~SocketGuard() {
    for (const std::string& path : paths_) ::unlink(path.c_str());
  }
  void Add(const std::string& path) { paths_.push_back(path); }
  void Keep() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

StatusOr<UniqueFd> ConfigPipe(const std::string& config) {
  if (config.size() > kMaxConfigBytes) {
    return Status::Error("write", E2BIG, "the config is longer than 60 KiB");
  }
  StatusOr<FdPair> pipe = MakePipe();
  if (!pipe.ok()) return pipe.status();
  const ssize_t written = WriteRetry(pipe.value().second.get(), config.data(), config.size());
  if (written != static_cast<ssize_t>(config.size())) {
    return Status::Errno("write", "cannot pass the config to msb-vmm");
  }
  return std::move(pipe.value().first);
}

// posix_spawn's actions and attributes, released with their owner.
struct SpawnSetup {
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

StatusOr<pid_t> Spawn(const std::string& path, const std::vector<int>& fds) {
  SpawnSetup setup;
  posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&setup.actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, 1, 2);
  std::vector<UniqueFd> parked;
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i] < 0) continue;
    parked.emplace_back(fcntl(fds[i], F_DUPFD_CLOEXEC, kParkedFd));
    if (!parked.back().valid()) return Status::Errno("fcntl", "cannot pass descriptors to msb-vmm");
    posix_spawn_file_actions_adddup2(&setup.actions, parked.back().get(),
                                     kFirstVmmFd + static_cast<int>(i));
  }
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&setup.attributes, &none);
  posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETSIGMASK);
  char* const argv[] = {const_cast<char*>(path.c_str()), nullptr};
  char* const no_environment[] = {nullptr};
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, path.c_str(), &setup.actions, &setup.attributes, argv, no_environment);
  if (error != 0) {
    errno = error;
    return Status::Errno("posix_spawn", path);
  }
  return pid;
}

}  // namespace

StatusOr<SpawnedVmm> SpawnVmm(const VmmSpawnOptions& options) {
  SocketGuard guard;
  std::vector<UniqueFd> listeners;
  for (const std::string& path : options.socket_paths) {
    StatusOr<UniqueFd> listener = Listen(path);
    if (!listener.ok()) return listener.status();
    guard.Add(path);
    listeners.push_back(std::move(listener.value()));
  }
  StatusOr<UniqueFd> config = ConfigPipe(options.config);
  if (!config.ok()) return config.status();
  StatusOr<FdPair> report = MakePipe();
  if (!report.ok()) return report.status();
  StatusOr<FdPair> lifeline = MakePipe();
  if (!lifeline.ok()) return lifeline.status();

  std::vector<int> fds = {config.value().get(), report.value().second.get(),
                          options.detached ? -1 : lifeline.value().first.get()};
  for (const UniqueFd& listener : listeners) fds.push_back(listener.get());
  StatusOr<pid_t> pid = Spawn(options.vmm_path, fds);
  if (!pid.ok()) return pid.status();
  guard.Keep();
  SpawnedVmm vmm;
  vmm.pid = pid.value();
  vmm.report = std::move(report.value().first);
  if (!options.detached) vmm.lifeline = std::move(lifeline.value().second);
  return vmm;
}

}  // namespace msb
