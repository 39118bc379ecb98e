#include "vmm/sanitize.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "base/fd_util.h"

#ifdef __linux__
#include <sys/prctl.h>
#else
extern char** environ;
#endif

namespace msb::vmm {
namespace {

constexpr rlim_t kMaxOpenFiles = 1024;

// Channels and files stand behind each other.
std::vector<int> ExpectedFds(size_t channels_and_files) {
  std::vector<int> fds = {0, 1, 2, kConfigFd, kReportFd, kLifelineFd, kReportFileFd};
  for (size_t i = 0; i < channels_and_files; ++i)
    fds.push_back(kFirstChannelFd + static_cast<int>(i));
  return fds;
}

// With a standard stream missing, the next descriptor we make would take its place.
Status OpenStandardStreams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    if (open("/dev/null", O_RDWR) != fd) return Status::Errno("open", "cannot open /dev/null");
  }
  return Status();
}

Status LowerLimit(int resource, rlim_t value, const char* name) {
  rlimit limit = {};
  if (getrlimit(resource, &limit) != 0) return Status::Errno("getrlimit", name);
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) != 0) return Status::Errno("setrlimit", name);
  return Status();
}

}  // namespace

void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  // Fails for SIGKILL, SIGSTOP and the C library's own, which is as it should be.
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

Status Sanitize() {
  CloseAllExcept(ExpectedFds(krun::kMaxChannels + krun::kMaxFiles));
  MSB_RETURN_IF_ERROR(OpenStandardStreams());
#ifdef __linux__
  clearenv();
#else
  static char* no_environment[] = {nullptr};
  environ = no_environment;
#endif
  ResetSignals();
  signal(SIGPIPE, SIG_IGN);
  // A report file that is full is no reason to end.
  signal(SIGXFSZ, SIG_IGN);
  umask(077);
  // Fails when the owner has already made us a session leader.
  setsid();
  if (chdir("/") != 0) return Status::Errno("chdir", "cannot enter /");
#ifdef __linux__
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Status::Errno("prctl", "no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Status::Errno("prctl", "dumpable");
#endif
  MSB_RETURN_IF_ERROR(LowerLimit(RLIMIT_CORE, 0, "RLIMIT_CORE"));
  return LowerLimit(RLIMIT_NOFILE, kMaxOpenFiles, "RLIMIT_NOFILE");
}

void CloseUnusedFds(const krun::VmConfig& config) {
  std::vector<int> keep = ExpectedFds(config.channels.size() + config.file_count);
  std::erase(keep, kConfigFd);
  if (config.detached) std::erase(keep, kLifelineFd);
  CloseAllExcept(std::move(keep));
}

Status LimitFileSize(uint64_t bytes) {
  return LowerLimit(RLIMIT_FSIZE, static_cast<rlim_t>(bytes), "RLIMIT_FSIZE");
}

}  // namespace msb::vmm
