#ifndef MSB_AGENT_EXEC_SESSION_H_
#define MSB_AGENT_EXEC_SESSION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent/cgroup.h"
#include "agent/connection.h"
#include "agent/event_loop.h"
#include "agent/input_writer.h"
#include "agent/messages.h"
#include "agent/output_buffer.h"
#include "agent/output_reader.h"
#include "agent/reaper.h"
#include "base/unique_fd.h"

namespace msb::agent {

// What every exec needs of the agent.
struct ExecContext {
  EventLoop* loop;
  Connection* connection;
  Reaper* reaper;
  CgroupTree* cgroups;
};

// One program, from exec.start to exec.close. Destroying it while the program runs kills what it
// started.
class ExecSession final : public StreamSource {
 public:
  // Called once, when it is known whether the program runs. After a failure the session is of no
  // use; the callee destroys it, but not at once.
  using OnStarted = std::function<void(const Reply& reply)>;

  ExecSession(uint32_t stream, const ExecContext& context);
  ExecSession(const ExecSession&) = delete;
  ~ExecSession() override;

  void Start(ExecStartRequest request, OnStarted on_started);
  bool starting() const { return on_started_ != nullptr; }

  // False is a protocol error.
  bool TakeInput(const Frame& frame);
  bool TakeCredit(uint64_t consumed, uint64_t limit);
  Reply Signal(int signal, bool whole_tree);
  Reply Resize(const PtySize& size);
  Reply Attach(std::optional<uint64_t> output_offset);
  // To be called after the reply of Attach was sent: what follows must not come before it.
  void Resume();
  // The host is gone; nothing is sent until it attaches.
  void Detach() { attached_ = false; }
  // exec.close came: an exec.start without an answer gets one.
  void Abandon();
  // Whether it has ended by itself and left descendants that can still write to its output.
  bool LeavesWriters() const { return pid_ != 0 && !running_ && !timed_out_ && !reader_.at_end(); }
  // After exec.close: goes on to read and drop what descendants write, so that none of them dies of
  // it. `on_silent` is called once none of them can write any more; not before this returns.
  void Linger(std::function<void()> on_silent);
  // As listed in the reply to `hello`.
  Json Describe() const;

  bool HasFrame() const override;
  void AppendFrame(std::string* tx) override;

 private:
  Status Spawn();
  void FinishStart(const Reply& reply);
  void OnStartReport();
  void OnExit(int status);
  void OnTimeout();
  void AwaitTree();
  void SetTreeGone();

  Status WatchChannel(Channel channel);
  void ReadOutput();
  void WatchOutput();
  // Decides whether all output that counts has been read.
  void CheckDrained();
  void SetDrained();
  void EndLingeringIfDue();
  void SendControlClosedIfDue();
  void SendExitIfDue();

  const uint32_t stream_;
  const ExecContext context_;
  ExecStartRequest request_;
  bool has_control_ = false;
  OnStarted on_started_;
  UniqueFd start_report_;
  EventLoop::Watch start_watch_;

  Cgroup cgroup_;
  pid_t pid_ = 0;
  bool running_ = false;
  int exit_status_ = 0;
  bool timed_out_ = false;
  bool oom_killed_ = false;
  EventLoop::Timer timeout_timer_;
  // Valid while a killed tree has not died yet.
  UniqueFd tree_events_;
  EventLoop::Watch tree_watch_;
  EventLoop::Timer tree_timer_;
  bool tree_dying_ = false;

  OutputBuffer output_;
  OutputReader reader_;
  EventLoop::Watch output_watches_[3];  // of the reader's descriptors
  InputWindow input_window_;
  InputWriter input_;
  InputWriter control_input_;
  EventLoop::Timer quiet_timer_;
  // What descendants write after this is dropped.
  bool drained_ = false;
  std::function<void()> on_silent_;

  bool attached_ = true;
  bool control_closed_sent_ = false;
  bool exit_sent_ = false;
  uint64_t sent_ = 0;
  uint64_t limit_ = kWindowBytes;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_EXEC_SESSION_H_
