#include "agent/reaper.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "agent/clock.h"

namespace msb::agent {

Status Reaper::Open(EventLoop* loop) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return Status::Errno("sigprocmask", "reaper");
  signal_fd_.Reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd_.valid()) return Status::Errno("signalfd", "reaper");
  return loop->Add(
      signal_fd_.get(), EPOLLIN, [this](uint32_t) { OnSignal(); }, &watch_);
}

bool Reaper::WaitForAll(int64_t timeout_ms) {
  const int64_t deadline = MonotonicMs() + timeout_ms;
  while (true) {
    signalfd_siginfo info;
    while (read(signal_fd_.get(), &info, sizeof(info)) > 0) {
    }
    if (!Reap()) return true;
    const int64_t left = deadline - MonotonicMs();
    if (left <= 0) return false;
    pollfd ready = {signal_fd_.get(), POLLIN, 0};
    poll(&ready, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
  }
}

void Reaper::OnSignal() {
  signalfd_siginfo info;
  while (read(signal_fd_.get(), &info, sizeof(info)) > 0) {
  }
  Reap();
  if (after_reaping_) after_reaping_();
}

bool Reaper::Reap() {
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return pid == 0;
    const auto found = expected_.find(pid);
    if (found == expected_.end()) continue;
    const OnExit on_exit = std::move(found->second);
    expected_.erase(found);
    on_exit(status);
  }
}

}  // namespace msb::agent
