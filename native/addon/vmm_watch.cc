#include "addon/vmm_watch.h"

#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "base/fd_ops.h"

namespace msb {
namespace {

// Longer lines are no report of ours and are cut.
constexpr size_t kMaxLineBytes = 65536;

}  // namespace

VmmWatch::VmmWatch(SpawnedVmm vmm)
    : pid_(vmm.pid), report_(std::move(vmm.report)), lifeline_(std::move(vmm.lifeline)) {}

void VmmWatch::Start(OnLine on_line, OnExit on_exit) {
  std::thread([self = shared_from_this(), on_line = std::move(on_line),
               on_exit = std::move(on_exit)] {
    // Signals are the host program's business.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    self->Follow(on_line);
    on_exit(self->Reap());
  }).detach();
}

bool VmmWatch::Kill(int signal) {
  // Holding the lock keeps the process id from being reaped and given to another.
  std::lock_guard<std::mutex> lock(mutex_);
  return !gone_ && ::kill(pid_, signal) == 0;
}

void VmmWatch::CloseLifeline() {
  std::lock_guard<std::mutex> lock(mutex_);
  lifeline_.Reset();
}

void VmmWatch::Follow(const OnLine& on_line) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ReadRetry(report_.get(), buffer, sizeof buffer);
    if (count <= 0) return;
    text.append(buffer, static_cast<size_t>(count));
    size_t end;
    while ((end = text.find('\n')) != std::string::npos) {
      on_line(text.substr(0, end));
      text.erase(0, end + 1);
    }
    if (text.size() > kMaxLineBytes) text.clear();
  }
}

VmmExit VmmWatch::Reap() {
  siginfo_t info{};
  // First only wait, so that Kill() never sees a process id that is free again.
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  std::lock_guard<std::mutex> lock(mutex_);
  gone_ = true;
  lifeline_.Reset();
  int status = 0;
  VmmExit exit;
  if (waitpid(pid_, &status, 0) != pid_) return exit;
  if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.exit_code = WEXITSTATUS(status);
  }
  return exit;
}

}  // namespace msb
