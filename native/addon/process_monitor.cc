#include "addon/process_monitor.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "addon/background_thread.h"
#include "base/fd_util.h"
#include "base/process_identity.h"

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace msb::addon {
namespace {

constexpr size_t kMaxLineBytes = 64 * 1024;
// Without a pidfd the end of the report announces the end of the process, which then follows at
// once.
constexpr int kReapRetryMs = 10;

}  // namespace

MonitoredProcess::MonitoredProcess(VmmProcess process, std::shared_ptr<ProcessListener> listener)
    : pid_(process.pid),
      is_child_(process.is_child),
      start_time_(std::move(process.start_time)),
      listener_(std::move(listener)),
      report_(std::move(process.report)),
      pidfd_(std::move(process.pidfd)),
      lifeline_(std::move(process.lifeline)) {}

bool MonitoredProcess::Kill(int signal_number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_reaped_) return false;
#if defined(__linux__) && defined(SYS_pidfd_send_signal)
  if (pidfd_.valid())
    return syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_number, nullptr, 0) == 0;
#endif
  if (!is_child_) {
    // Somebody else reaps it, so its number may be another's by now.
    const StatusOr<std::string> start_time = ProcessStartTime(pid_);
    if (!start_time.ok() || start_time.value() != start_time_) return false;
    return kill(pid_, signal_number) == 0;
  }
  // Not reaped and only we reap, so the number is still its.
  return kill(pid_, signal_number) == 0;
}

void MonitoredProcess::CloseLifeline() {
  const std::lock_guard<std::mutex> lock(mutex_);
  lifeline_.Reset();
}

void MonitoredProcess::ReadReport() {
  char chunk[4096];
  while (report_.valid()) {
    const ssize_t count = RetryOnEintr([&] { return read(report_.get(), chunk, sizeof chunk); });
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      report_.Reset();
      return;
    }
    partial_line_.append(chunk, static_cast<size_t>(count));
    for (size_t end; (end = partial_line_.find('\n')) != std::string::npos;) {
      listener_->OnLine(partial_line_.substr(0, end));
      partial_line_.erase(0, end + 1);
    }
    if (partial_line_.size() > kMaxLineBytes) partial_line_.clear();
  }
}

bool MonitoredProcess::Reap() {
  ProcessExit exit;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_child_) {
      int status = 0;
      const pid_t pid = RetryOnEintr([&] { return waitpid(pid_, &status, WNOHANG); });
      if (pid == 0) return false;
      if (pid == pid_ && WIFEXITED(status)) exit.exit_code = WEXITSTATUS(status);
      if (pid == pid_ && WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
    }
    is_reaped_ = true;
    pidfd_.Reset();
    lifeline_.Reset();
  }
  // All that it has written is in the pipe by now.
  ReadReport();
  report_.Reset();
  listener_->OnExit(exit);
  return true;
}

ProcessMonitor* ProcessMonitor::Get() {
  static std::mutex* const mutex = new std::mutex;
  static ProcessMonitor* monitor = nullptr;
  const std::lock_guard<std::mutex> lock(*mutex);
  if (monitor != nullptr) return monitor;
  // Never destroyed, as its thread never ends.
  auto* const made = new ProcessMonitor;
  if (made->Start().ok()) {
    monitor = made;
  } else {
    delete made;
  }
  return monitor;
}

Status ProcessMonitor::Start() {
  MSB_RETURN_IF_ERROR(MakePipe(&wake_read_, &wake_write_));
  MSB_RETURN_IF_ERROR(SetNonBlocking(wake_read_.get()));
  MSB_RETURN_IF_ERROR(SetNonBlocking(wake_write_.get()));
  return StartBackgroundThread([this] { Run(); });
}

void ProcessMonitor::Watch(std::shared_ptr<MonitoredProcess> process) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    added_.push_back(std::move(process));
  }
  const Status woken = WriteAll(wake_write_.get(), "w");
  (void)woken;  // a full pipe wakes, too
}

void ProcessMonitor::Run() {
  constexpr size_t kFdsEach = 2;
  std::vector<pollfd> fds;
  for (;;) {
    fds.assign(1, {wake_read_.get(), POLLIN, 0});
    bool must_retry = false;
    for (const auto& process : watched_) {
      fds.push_back({process->report_.get(), POLLIN, 0});
      fds.push_back({process->pidfd_.get(), POLLIN, 0});
      must_retry = must_retry || (!process->pidfd_.valid() && !process->report_.valid());
    }
    if (poll(fds.data(), static_cast<nfds_t>(fds.size()), must_retry ? kReapRetryMs : -1) < 0)
      continue;

    std::vector<std::shared_ptr<MonitoredProcess>> left;
    for (size_t i = 0; i < watched_.size(); ++i) {
      const std::shared_ptr<MonitoredProcess>& process = watched_[i];
      if (fds[1 + i * kFdsEach].revents != 0) process->ReadReport();
      const bool may_have_ended =
          process->pidfd_.valid() ? fds[2 + i * kFdsEach].revents != 0 : !process->report_.valid();
      if (!may_have_ended || !process->Reap()) left.push_back(process);
    }
    watched_ = std::move(left);

    char wakes[64];
    while (read(wake_read_.get(), wakes, sizeof wakes) > 0) {
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    watched_.insert(watched_.end(), added_.begin(), added_.end());
    added_.clear();
  }
}

}  // namespace msb::addon
