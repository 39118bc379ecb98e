#include "agent/shutdown.h"

#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace msb::agent {
namespace {

// A killed process is gone as soon as the kernel is done with its memory and files.
constexpr int64_t kKillWaitMs = 2'000;

void MakeReadOnly(const char* path) {
  mount(nullptr, path, nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
}

}  // namespace

void ShutDown(Reaper* reaper, int64_t grace_ms, int upper) {
  kill(-1, SIGTERM);
  // A stopped process would not see the SIGTERM.
  kill(-1, SIGCONT);
  if (!reaper->WaitForAll(grace_ms)) {
    kill(-1, SIGKILL);
    reaper->WaitForAll(kKillWaitMs);
  }
  sync();
  if (upper >= 0) {
    MakeReadOnly("/");
    // The mount point is hidden under the root, the descriptor still leads there.
    MakeReadOnly(("/proc/self/fd/" + std::to_string(upper)).c_str());
  }
  Restart();
}

void Restart() {
  reboot(RB_AUTOBOOT);
  // Only without the right to restart, that is not as PID 1 of a VM.
  _exit(1);
}

}  // namespace msb::agent
