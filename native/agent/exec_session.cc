#include "agent/exec_session.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "agent/process_spawn.h"

namespace msb::agent {
namespace {

// How long descendants of an ended program may be silent before its output counts as complete.
constexpr int64_t kQuietMs = 100;
// A process in an uninterruptible wait dies late; the report does not wait for it for ever.
constexpr int64_t kTreeDeathMs = 5'000;
// Each reconnect grants a new window of stdin; a program that reads none must not fill the memory.
constexpr uint64_t kMaxPendingInput = 8 * kWindowBytes;
constexpr Channel kOutputChannels[] = {Channel::kStdout, Channel::kStderr, Channel::kControl};

}  // namespace

ExecSession::ExecSession(uint32_t stream, const ExecContext& context)
    : stream_(stream),
      context_(context),
      timeout_timer_(context.loop),
      tree_timer_(context.loop),
      reader_(&output_),
      input_window_([this](uint64_t consumed, uint64_t limit) {
        if (attached_) context_.connection->SendCredit(stream_, consumed, limit);
      }),
      input_(context.loop, &input_window_),
      control_input_(context.loop, &input_window_),
      quiet_timer_(context.loop) {}

ExecSession::~ExecSession() {
  context_.connection->Forget(this);
  if (pid_ == 0) return;
  // What a program left behind when it ended goes on, as a shell's background jobs do.
  if (running_) {
    context_.reaper->Forget(pid_);
    cgroup_.Kill();
    kill(pid_, SIGKILL);
  }
  context_.cgroups->Remove(cgroup_);
}

void ExecSession::Start(ExecStartRequest request, OnStarted on_started) {
  request_ = std::move(request);
  has_control_ = request_.has_control;
  on_started_ = std::move(on_started);
  cgroup_ = context_.cgroups->Create(stream_);
  const Status spawned = Spawn();
  if (spawned.ok()) return;
  if (pid_ == 0) context_.cgroups->Remove(cgroup_);
  FinishStart(Reply::Failed("exec", spawned));
}

Status ExecSession::Spawn() {
  StatusOr<SpawnedProcess> spawned = SpawnProcess(request_, cgroup_.directory());
  if (!spawned.ok()) return spawned.status();
  SpawnedProcess& process = spawned.value();
  pid_ = process.pid;
  running_ = true;
  cgroup_.SetLeader(pid_);
  context_.reaper->Expect(pid_, [this](int status) { OnExit(status); });
  start_report_ = std::move(process.start_report);
  MSB_RETURN_IF_ERROR(context_.loop->Add(
      start_report_.get(), EPOLLIN, [this](uint32_t) { OnStartReport(); }, &start_watch_));
  if (process.control.valid()) {
    // A socket is watched for each direction by itself.
    UniqueFd writer(fcntl(process.control.get(), F_DUPFD_CLOEXEC, 0));
    if (!writer.valid()) return Status::Errno("fork", "fcntl");
    MSB_RETURN_IF_ERROR(control_input_.Open(std::move(writer), /*is_pty=*/false));
  }
  reader_.Open(Channel::kStdout, std::move(process.output));
  reader_.Open(Channel::kStderr, std::move(process.error_output));
  reader_.Open(Channel::kControl, std::move(process.control));
  for (const Channel channel : kOutputChannels) MSB_RETURN_IF_ERROR(WatchChannel(channel));
  if (process.input.valid()) {
    MSB_RETURN_IF_ERROR(input_.Open(std::move(process.input), request_.pty.has_value()));
  }
  if (request_.timeout_ms > 0) timeout_timer_.Start(request_.timeout_ms, [this] { OnTimeout(); });
  return {};
}

void ExecSession::FinishStart(const Reply& reply) {
  const OnStarted on_started = std::exchange(on_started_, nullptr);
  on_started(reply);
}

void ExecSession::OnStartReport() {
  const Status started = ReadStartReport(start_report_.get(), request_);
  start_watch_.Stop();
  start_report_.Reset();
  // argv and env are not needed any more, and may be large.
  request_.argv.clear();
  request_.env.clear();
  if (!starting()) return;
  if (!started.ok()) return FinishStart(Reply::Failed("exec", started));
  FinishStart(Reply::Ok({{"pid", static_cast<int64_t>(pid_)}}));
  Resume();
}

void ExecSession::OnExit(int status) {
  running_ = false;
  exit_status_ = status;
  // Nearly always everything is in the pipes by now, and their ends are closed.
  while (reader_.ReadPass()) context_.connection->MarkReady(this);
  WatchOutput();
  CheckDrained();
}

void ExecSession::OnTimeout() {
  timed_out_ = true;
  cgroup_.Kill();
  if (running_) kill(pid_, SIGKILL);
  AwaitTree();
}

// A timeout is reported when everything that the program started is gone, not when it was told to
// go.
void ExecSession::AwaitTree() {
  tree_events_ = cgroup_.OpenEvents();
  if (!tree_events_.valid() || !Cgroup::IsPopulated(tree_events_.get())) return;
  const auto check = [this](uint32_t) {
    if (!Cgroup::IsPopulated(tree_events_.get())) SetTreeGone();
  };
  tree_dying_ = context_.loop->Add(tree_events_.get(), EPOLLPRI, check, &tree_watch_).ok();
  if (tree_dying_) tree_timer_.Start(kTreeDeathMs, [this] { SetTreeGone(); });
}

void ExecSession::SetTreeGone() {
  tree_dying_ = false;
  tree_timer_.Cancel();
  tree_watch_.Stop();
  tree_events_.Reset();
  SendExitIfDue();
}

Status ExecSession::WatchChannel(Channel channel) {
  if (reader_.ended(channel)) return {};
  return context_.loop->Add(
      reader_.fd(channel), EPOLLIN, [this](uint32_t) { ReadOutput(); },
      &output_watches_[static_cast<size_t>(channel) - 1]);
}

// All descriptors whichever is ready, in one order, to keep theirs as well as can be.
void ExecSession::ReadOutput() {
  if (reader_.ReadPass() && !drained_) {
    if (!running_) quiet_timer_.Cancel();
    context_.connection->MarkReady(this);
  }
  WatchOutput();
  SendControlClosedIfDue();
  CheckDrained();
  EndLingeringIfDue();
}

void ExecSession::WatchOutput() {
  const uint32_t events = drained_ || output_.room() > 0 ? uint32_t{EPOLLIN} : 0;
  for (const Channel channel : kOutputChannels) {
    EventLoop::Watch& watch = output_watches_[static_cast<size_t>(channel) - 1];
    if (reader_.ended(channel)) {
      watch.Stop();
      reader_.Close(channel);
    } else {
      watch.SetEvents(events);
    }
  }
}

void ExecSession::CheckDrained() {
  if (running_ || drained_ || pid_ == 0) return;
  if (reader_.at_end()) return SetDrained();
  // While the host does not take the output, silence says nothing.
  if (output_.room() == 0) return quiet_timer_.Cancel();
  if (!quiet_timer_.active()) quiet_timer_.Start(kQuietMs, [this] { SetDrained(); });
}

void ExecSession::SetDrained() {
  drained_ = true;
  reader_.Drop();
  quiet_timer_.Cancel();
  timeout_timer_.Cancel();
  oom_killed_ = cgroup_.WasOomKilled();
  WatchOutput();
  SendExitIfDue();
}

// Of a program that runs on without it; else its end says it all.
void ExecSession::SendControlClosedIfDue() {
  const std::optional<uint64_t> end = reader_.control_end();
  if (!end.has_value() || !running_ || starting() || !attached_ || control_closed_sent_) return;
  if (sent_ < *end) return;
  control_closed_sent_ = true;
  context_.connection->SendMessage(stream_, Json::Object{{"type", "exec.controlClosed"}});
}

void ExecSession::SendExitIfDue() {
  if (starting() || !attached_ || !drained_ || tree_dying_ || exit_sent_ || sent_ < output_.end())
    return;
  exit_sent_ = true;
  input_.Close();
  control_input_.Close();
  Json::Object message = {{"type", "exec.exited"}};
  if (WIFSIGNALED(exit_status_)) {
    message["signal"] = WTERMSIG(exit_status_);
  } else {
    message["exitCode"] = WEXITSTATUS(exit_status_);
  }
  if (timed_out_) message["timedOut"] = true;
  if (oom_killed_) message["oomKilled"] = true;
  context_.connection->SendMessage(stream_, message);
}

void ExecSession::Abandon() {
  if (starting()) FinishStart(Reply::Error("not-found", "the exec was closed"));
}

void ExecSession::Linger(std::function<void()> on_silent) {
  on_silent_ = std::move(on_silent);
  context_.connection->Forget(this);
  Detach();
  if (!drained_) SetDrained();
}

void ExecSession::EndLingeringIfDue() {
  if (on_silent_ == nullptr || !reader_.at_end()) return;
  const std::function<void()> on_silent = std::move(on_silent_);
  on_silent_ = nullptr;
  on_silent();
}

bool ExecSession::TakeInput(const Frame& frame) {
  const bool is_control = frame.channel == Channel::kControl && has_control_ && !frame.end;
  if (frame.channel != Channel::kInput && !is_control) return false;
  if (!input_window_.Receive(frame.payload.size())) return false;
  (is_control ? control_input_ : input_).Accept(frame.payload, frame.end);
  return true;
}

bool ExecSession::TakeCredit(uint64_t consumed, uint64_t limit) {
  if (consumed > sent_) return false;
  output_.Release(consumed);
  limit_ = std::max(limit_, limit);
  // What is held for want of room wakes nobody when there is some.
  if (reader_.holding()) reader_.ReadPass();
  WatchOutput();
  CheckDrained();
  context_.connection->MarkReady(this);
  return true;
}

Reply ExecSession::Signal(int signal, bool whole_tree) {
  if (whole_tree) {
    cgroup_.Signal(signal);
  } else if (!running_) {
    return Reply::System(Status::Error("kill", ESRCH, "the program has ended"));
  } else if (kill(pid_, signal) != 0) {
    return Reply::System(Status::Errno("kill", "signal " + std::to_string(signal)));
  }
  return Reply::Ok();
}

Reply ExecSession::Resize(const PtySize& size) {
  if (!request_.pty.has_value()) return Reply::Error("state", "the exec has no pty");
  if (reader_.ended(Channel::kStdout)) return Reply::Ok();
  const Status resized = ResizePty(reader_.fd(Channel::kStdout), size);
  return resized.ok() ? Reply::Ok() : Reply::System(resized);
}

Reply ExecSession::Attach(std::optional<uint64_t> output_offset) {
  const uint64_t offset = output_offset.value_or(output_.start());
  if (offset < output_.start() || offset > output_.end()) {
    return Reply::Error("invalid", "outputOffset is not kept: from " +
                                       std::to_string(output_.start()) + " to " +
                                       std::to_string(output_.end()));
  }
  if (input_window_.pending() > kMaxPendingInput) {
    return Reply::Error("limit", "the program does not read its stdin");
  }
  output_.Release(offset);
  sent_ = offset;
  limit_ = offset + kWindowBytes;
  input_window_.Rewind();
  attached_ = true;
  control_closed_sent_ = false;
  exit_sent_ = false;
  return Reply::Ok(
      {{"outputOffset", offset}, {"stdinOffset", input_window_.received()}, {"running", running_}});
}

void ExecSession::Resume() {
  context_.connection->MarkReady(this);
  SendControlClosedIfDue();
  SendExitIfDue();
}

Json ExecSession::Describe() const {
  return Json::Object{{"stream", stream_},          {"pid", static_cast<int64_t>(pid_)},
                      {"running", running_},        {"outputOffset", output_.start()},
                      {"outputEnd", output_.end()}, {"stdinOffset", input_window_.received()}};
}

bool ExecSession::HasFrame() const {
  return attached_ && !starting() && sent_ < std::min(limit_, output_.end());
}

void ExecSession::AppendFrame(std::string* tx) {
  const size_t credit = static_cast<size_t>(std::min(limit_, output_.end()) - sent_);
  const OutputBuffer::Piece piece = output_.At(sent_, std::min(credit, kMaxDataBytes));
  msb::AppendFrame({.type = FrameType::kData,
                    .channel = piece.channel,
                    .stream = stream_,
                    .payload = piece.bytes},
                   tx);
  sent_ += piece.bytes.size();
  SendControlClosedIfDue();
  SendExitIfDue();
}

}  // namespace msb::agent
