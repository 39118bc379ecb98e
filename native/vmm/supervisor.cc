#include "vmm/supervisor.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/fd_ops.h"

namespace msb::vmm {
namespace {

constexpr size_t kStderrTailBytes = 4096;
// What the VM wrote last must reach a host that reads; one that does not cannot hold the supervisor
// longer.
constexpr double kFlushMs = 1000;
// A line of the report must stay under PIPE_BUF with every byte escaped.
constexpr size_t kReportedTailBytes = 2048;

}  // namespace

Supervisor::Supervisor(const VmConfig& config, const BootReport& report, VmProcess vm,
                       UniqueFd lifeline, UniqueFd signals)
    : report_(report),
      lease_ms_(config.lease_ms),
      vm_pid_(vm.pid),
      standard_error_(std::move(vm.standard_error)),
      lifeline_(std::move(lifeline)),
      signals_(std::move(signals)),
      host_seen_ms_(MonotonicMs()) {
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const bool is_console = config.channels[i] == kConsoleChannel;
    if (config.channels[i] == "agent") agent_ = i;
    relays_.emplace_back(is_console ? ChannelRelay::Kind::kConsole : ChannelRelay::Kind::kStream,
                         UniqueFd(VmConfig::kFirstListenerFd + static_cast<int>(i)),
                         std::move(vm.channels[i]));
  }
}

void Supervisor::Run() {
  while (!IsFinished()) {
    WaitForEvents();
    CheckLease();
  }
  ReportExit();
}

void Supervisor::WaitForEvents() {
  std::vector<pollfd> polls = {{signals_.get(), POLLIN, 0},
                               {lifeline_.valid() ? lifeline_.get() : -1, POLLIN, 0},
                               {standard_error_.valid() ? standard_error_.get() : -1, POLLIN, 0}};
  std::vector<size_t> firsts;
  for (ChannelRelay& relay : relays_) {
    firsts.push_back(polls.size());
    relay.AddPolls(&polls);
  }
  const int timeout_ms = PollTimeoutMs();
  if (poll(polls.data(), polls.size(), timeout_ms) < 0) return;
  // A host that leaves now was there until now: its lease begins here.
  if (!relays_.empty() && relays_[agent_].has_host()) host_seen_ms_ = MonotonicMs();
  for (size_t i = 0; i < relays_.size(); ++i) relays_[i].Handle(polls, firsts[i]);
  if (!alive_reported_ &&
      std::any_of(relays_.begin(), relays_.end(),
                  [](const ChannelRelay& relay) { return relay.seen_life(); })) {
    alive_reported_ = true;
    report_.Stage("alive");
  }
  if (polls[2].revents != 0) HandleStandardError();
  if (polls[0].revents != 0) HandleSignals();
  if (polls[1].revents != 0) {
    // Nobody writes to the lifeline: readable means that its other end is closed.
    lifeline_.Reset();
    End("owner-gone");
  }
}

int Supervisor::PollTimeoutMs() const {
  double until = -1;
  if (vm_gone_) {
    until = flush_until_ms_;
  } else if (lease_ms_ > 0 && !relays_[agent_].has_host()) {
    until = host_seen_ms_ + static_cast<double>(lease_ms_);
  } else {
    return -1;
  }
  // Rounded up, so that the loop does not spin through the last fraction of a millisecond.
  return static_cast<int>(std::clamp(until - MonotonicMs() + 1, 0.0, 1e9));
}

void Supervisor::CheckLease() {
  if (vm_gone_ || lease_ms_ == 0 || relays_.empty()) return;
  const double now = MonotonicMs();
  if (relays_[agent_].has_host()) {
    host_seen_ms_ = now;
  } else if (now - host_seen_ms_ >= static_cast<double>(lease_ms_)) {
    End("lease");
  }
}

void Supervisor::End(const char* reason) {
  if (vm_gone_ || reason_ != nullptr) return;
  reason_ = reason;
  kill(vm_pid_, SIGKILL);
}

void Supervisor::HandleSignals() {
  unsigned char numbers[64];
  const ssize_t count = ReadRetry(signals_.get(), numbers, sizeof numbers);
  for (ssize_t i = 0; i < count; ++i) {
    if (numbers[i] == SIGTERM) End("terminated");
    if (numbers[i] == SIGCHLD) Reap();
  }
}

void Supervisor::Reap() {
  if (vm_gone_ || waitpid(vm_pid_, &wait_status_, WNOHANG) != vm_pid_) return;
  vm_gone_ = true;
  flush_until_ms_ = MonotonicMs() + kFlushMs;
  for (ChannelRelay& relay : relays_) relay.Drain();
}

void Supervisor::HandleStandardError() {
  char buffer[4096];
  const ssize_t count = ReadRetry(standard_error_.get(), buffer, sizeof buffer);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) {
    standard_error_.Reset();
    return;
  }
  stderr_tail_.append(buffer, static_cast<size_t>(count));
  if (stderr_tail_.size() > kStderrTailBytes) {
    stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
  }
}

bool Supervisor::IsFinished() const {
  if (!vm_gone_) return false;
  if (MonotonicMs() >= flush_until_ms_) return true;
  return !standard_error_.valid() &&
         std::all_of(relays_.begin(), relays_.end(),
                     [](const ChannelRelay& relay) { return relay.IsDelivered(); });
}

void Supervisor::ReportExit() {
  Json::Object fields;
  if (WIFSIGNALED(wait_status_)) {
    fields["signal"] = Json(WTERMSIG(wait_status_));
  } else {
    fields["exitCode"] = Json(WEXITSTATUS(wait_status_));
  }
  const bool by_itself = WIFEXITED(wait_status_);
  fields["reason"] = Json(reason_ != nullptr ? reason_ : by_itself ? "guest" : "killed");
  if (stderr_tail_.size() > kReportedTailBytes) {
    stderr_tail_.erase(0, stderr_tail_.size() - kReportedTailBytes);
  }
  fields["stderrTail"] = Json(stderr_tail_);
  report_.Stage("exited", std::move(fields));
}

}  // namespace msb::vmm
