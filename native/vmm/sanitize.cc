#include "vmm/sanitize.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

extern char** environ;

namespace msb::vmm {
namespace {

constexpr rlim_t kMaxOpenFiles = 1024;
// For a VM without a writable disk: enough for what a VMM writes for itself.
constexpr rlim_t kMinFileBytes = 64ull << 20;

Status SetLimit(const char* name, int resource, rlim_t value) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
    return Status::Errno("getrlimit", std::string("cannot read the limit ") + name);
  }
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
    return Status::Errno("setrlimit", std::string("cannot set the limit ") + name);
  }
  return Status();
}

void CloseRange(int first, int last) {
#if defined(__linux__) && defined(SYS_close_range)
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
  const long limit = std::min(sysconf(_SC_OPEN_MAX), 65536L);
  for (int fd = first; fd <= last && fd < limit; ++fd) close(fd);
}

}  // namespace

void SanitizeProcess() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) std::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  static char* no_environment[] = {nullptr};
  environ = no_environment;
  setsid();
  (void)!chdir("/");
  umask(077);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
#ifdef __linux__
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}

void CloseAllBut(std::vector<int> keep, int first) {
  std::sort(keep.begin(), keep.end());
  for (const int fd : keep) {
    if (fd < first) continue;
    if (fd > first) CloseRange(first, fd - 1);
    first = fd + 1;
  }
  CloseRange(first, std::numeric_limits<int>::max());
}

Status LimitResources(const VmConfig& config) {
  rlim_t largest = kMinFileBytes;
  for (const VmConfig::Disk& disk : config.disks) {
    struct stat info {};
    if (stat(disk.path.c_str(), &info) != 0) {
      return Status::Errno("stat", "disk " + disk.id + " at " + disk.path);
    }
    if (!disk.read_only) largest = std::max(largest, static_cast<rlim_t>(info.st_size));
  }
  MSB_RETURN_IF_ERROR(SetLimit("RLIMIT_FSIZE", RLIMIT_FSIZE, largest));
  return SetLimit("RLIMIT_NOFILE", RLIMIT_NOFILE, kMaxOpenFiles);
}

}  // namespace msb::vmm
