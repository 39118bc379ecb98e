#include "vmm/supervisor.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <utility>

#include "base/fd_util.h"
#include "base/json.h"
#include "vmm/sanitize.h"
#include "vmm/vm_entry.h"

namespace msb::vmm {
namespace {

constexpr size_t kStderrTailBytes = 4096;
// Of the console, in the report file.
constexpr size_t kConsoleTailBytes = 8192;
// How long hosts may take to read what a VM has left behind.
constexpr int64_t kFlushMicros = 1'000'000;

// Poll slots; the channels' follow.
enum Slot : size_t { kSignals, kLifeline, kMessages, kOutput, kFirstChannel };

}  // namespace

Supervisor::Supervisor(const krun::VmConfig& config, BootReport* report)
    : config_(config), report_(report) {}

int Supervisor::Run() {
  if (const Status status = Start(); !status.ok()) {
    report_->Failed(status);
    return kFailedExitCode;
  }
  while (!is_reaped_) Step();
  FlushChannels();
  return ReportEnd();
}

Status Supervisor::Start() {
  if (!config_.detached) lifeline_.Reset(kLifelineFd);
  std::vector<UniqueFd> listeners;
  for (size_t i = 0; i < config_.channels.size(); ++i) {
    listeners.emplace_back(kFirstChannelFd + static_cast<int>(i));
    MSB_RETURN_IF_ERROR(SetNonBlocking(listeners.back().get()));
    MSB_RETURN_IF_ERROR(SetCloseOnExec(listeners.back().get(), true));
  }
  // Before the fork, so that no SIGCHLD is missed.
  MSB_RETURN_IF_ERROR(signals_.Open());
  StatusOr<VmProcess> started = StartVmProcess(config_);
  if (!started.ok()) return started.status();
  vm_ = std::move(started.value());
  // The only file it has.
  MSB_RETURN_IF_ERROR(LimitFileSize(kMaxReportFileBytes));
  report_->Stage("forked", {{"pid", Json(static_cast<int64_t>(vm_.pid))}});

  for (size_t i = 0; i < listeners.size(); ++i) {
    const std::string& name = config_.channels[i];
    const auto make = name == krun::kConsoleChannel ? MakeConsoleChannel : MakeRelayChannel;
    channels_.push_back(make(name, std::move(listeners[i]), std::move(vm_.channels[i])));
    if (name == krun::kAgentChannel) agent_ = channels_.back().get();
    if (name == krun::kConsoleChannel) console_ = channels_.back().get();
  }
  vm_.channels.clear();
  alone_since_micros_ = MonotonicMicros();
  return Status();
}

void Supervisor::Step() {
  std::vector<pollfd> fds(kFirstChannel + channels_.size() * Channel::kPollFds);
  fds[kSignals] = {signals_.fd(), POLLIN, 0};
  fds[kLifeline] = {lifeline_.get(), POLLIN, 0};
  fds[kMessages] = {vm_.messages.get(), POLLIN, 0};
  fds[kOutput] = {vm_.output.get(), POLLIN, 0};
  for (size_t i = 0; i < channels_.size(); ++i) {
    channels_[i]->Prepare(&fds[kFirstChannel + i * Channel::kPollFds]);
  }
  const int64_t lease_left = LeaseLeftMs();
  const int timeout =
      lease_left < 0 ? -1 : static_cast<int>(std::min<int64_t>(lease_left, INT_MAX));
  if (poll(fds.data(), static_cast<nfds_t>(fds.size()), timeout) < 0) {
    // Interrupted: the results are undefined, the signal waits in its pipe.
    for (pollfd& fd : fds) fd.revents = 0;
  }
  if (fds[kMessages].revents != 0) ReadMessages();
  if (fds[kOutput].revents != 0) ReadOutput();
  const bool had_agent_host = agent_ != nullptr && agent_->has_host();
  for (size_t i = 0; i < channels_.size(); ++i) {
    channels_[i]->Handle(&fds[kFirstChannel + i * Channel::kPollFds]);
  }
  if (had_agent_host && !agent_->has_host()) alone_since_micros_ = MonotonicMicros();
  ReportAlive();
  if (fds[kLifeline].revents != 0) {
    lifeline_.Reset();
    EndVm("owner-gone");
  }
  if (LeaseLeftMs() == 0) EndVm("lease");
  HandleSignals();
}

void Supervisor::HandleSignals() {
  const SignalPipe::Seen seen = signals_.Take();
  if (seen.child) Reap();
  if (seen.terminate) EndVm("terminated");
}

void Supervisor::ReadMessages() {
  char chunk[4096];
  for (;;) {
    const ssize_t count =
        RetryOnEintr([&] { return read(vm_.messages.get(), chunk, sizeof chunk); });
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) break;
    messages_.append(chunk, static_cast<size_t>(count));
    for (size_t end; (end = messages_.find('\n')) != std::string::npos;
         messages_.erase(0, end + 1)) {
      HandleMessage(std::string_view(messages_).substr(0, end));
    }
    if (messages_.size() > kMaxMessageBytes) break;
  }
  vm_.messages.Reset();
}

void Supervisor::HandleMessage(std::string_view line) {
  StatusOr<Json> message = Json::Parse(line, kMaxMessageBytes);
  if (!message.ok()) return;
  StatusOr<std::string> stage = message.value().GetString("stage");
  if (!stage.ok()) return;
  if (stage.value() == "libkrun-loaded" && !is_loaded_) {
    is_loaded_ = true;
    report_->Stage("libkrun-loaded");
  } else if (stage.value() == "entering" && !has_entered_) {
    has_entered_ = true;
    StatusOr<std::vector<std::string>> names = message.value().GetStrings("confinement", 32);
    Json::Array confinement;
    if (names.ok()) confinement.assign(names.value().begin(), names.value().end());
    report_->Stage("entering", {{"confinement", Json(std::move(confinement))}});
  } else if (stage.value() == "failed" && failure_.ok()) {
    StatusOr<std::string> step = message.value().GetString("step");
    StatusOr<int64_t> error_number = message.value().GetInt("errno", 0, INT_MAX);
    StatusOr<std::string> text = message.value().GetString("message");
    if (step.ok() && error_number.ok() && text.ok()) {
      failure_ = Status::Error(step.value(), static_cast<int>(error_number.value()), text.value());
    }
  }
}

void Supervisor::ReadOutput() {
  char chunk[4096];
  for (;;) {
    const ssize_t count = RetryOnEintr([&] { return read(vm_.output.get(), chunk, sizeof chunk); });
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) break;
    stderr_tail_.append(chunk, static_cast<size_t>(count));
    if (stderr_tail_.size() > kStderrTailBytes) {
      stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
    }
  }
  vm_.output.Reset();
}

void Supervisor::ReportAlive() {
  if (is_alive_) return;
  for (const std::unique_ptr<Channel>& channel : channels_) {
    if (!channel->is_alive()) continue;
    is_alive_ = true;
    // "entering" was said before the byte was written, but may have been missed by this round's
    // poll.
    ReadMessages();
    report_->Stage("alive", {{"channel", Json(channel->name())}});
    return;
  }
}

// -1 when no lease is running.
int64_t Supervisor::LeaseLeftMs() {
  if (config_.lease_ms == 0 || agent_ == nullptr || agent_->has_host() || end_reason_ != nullptr)
    return -1;
  const int64_t alone_micros = MonotonicMicros() - alone_since_micros_;
  // Rounded up, so that the loop does not wake just before the end.
  return std::max<int64_t>(0, config_.lease_ms - alone_micros / 1000);
}

void Supervisor::EndVm(const char* reason) {
  if (end_reason_ != nullptr || is_reaped_) return;
  end_reason_ = reason;
  // Not yet reaped, so the number is still this process.
  kill(vm_.pid, SIGKILL);
}

void Supervisor::Reap() {
  const pid_t pid = RetryOnEintr([&] { return waitpid(vm_.pid, &wait_status_, WNOHANG); });
  is_reaped_ = pid == vm_.pid;
}

void Supervisor::FlushChannels() {
  ReadMessages();
  ReadOutput();
  const int64_t deadline = MonotonicMicros() + kFlushMicros;
  for (;;) {
    bool is_pending = false;
    for (const std::unique_ptr<Channel>& channel : channels_) {
      channel->Drain();
      is_pending = is_pending || channel->Pending();
    }
    ReportAlive();
    const int64_t left_ms = (deadline - MonotonicMicros()) / 1000;
    if (!is_pending || left_ms <= 0) break;
    std::vector<pollfd> fds(channels_.size() * Channel::kPollFds);
    for (size_t i = 0; i < channels_.size(); ++i)
      channels_[i]->Prepare(&fds[i * Channel::kPollFds]);
    if (poll(fds.data(), static_cast<nfds_t>(fds.size()), static_cast<int>(left_ms)) < 0) continue;
    for (size_t i = 0; i < channels_.size(); ++i) channels_[i]->Handle(&fds[i * Channel::kPollFds]);
  }
  for (const std::unique_ptr<Channel>& channel : channels_) channel->DropHost();
}

int Supervisor::ReportEnd() {
  Json::Object facts = {{"stderrTail", Json(stderr_tail_)}};
  Json::Object file_facts;
  if (console_ != nullptr) file_facts["consoleTail"] = Json(console_->Tail(kConsoleTailBytes));
  const bool has_exited = WIFEXITED(wait_status_);
  if (!failure_.ok() && has_exited && WEXITSTATUS(wait_status_) == kFailedExitCode) {
    report_->Failed(failure_, std::move(facts), std::move(file_facts));
    return kFailedExitCode;
  }
  if (has_exited) {
    facts["exitCode"] = Json(WEXITSTATUS(wait_status_));
  } else {
    facts["signal"] = Json(WTERMSIG(wait_status_));
  }
  facts["reason"] = Json(end_reason_ != nullptr ? end_reason_ : has_exited ? "guest" : "killed");
  report_->Stage("exited", std::move(facts), std::move(file_facts));
  return 0;
}

}  // namespace msb::vmm
