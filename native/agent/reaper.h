#ifndef MSB_AGENT_REAPER_H_
#define MSB_AGENT_REAPER_H_

#include <sys/types.h>

#include <functional>
#include <unordered_map>
#include <vector>

#include "agent/event_loop.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// The only waitpid of the agent: reaps the programs it started and, as PID 1, every orphan.
class Reaper {
 public:
  // `status` is that of waitpid.
  using OnExit = std::function<void(int status)>;

  // Blocks SIGCHLD for the process; children must unblock it.
  Status Open(EventLoop* loop);
  // To be called before the event loop runs again after the child was made.
  void Expect(pid_t pid, OnExit on_exit) { expected_[pid] = std::move(on_exit); }
  void Forget(pid_t pid) { expected_.erase(pid); }
  // Runs `task` whenever processes have been reaped.
  void AfterReaping(std::function<void()> task) { after_reaping_ = std::move(task); }
  // Reaps until no child is left (true) or the time is over.
  bool WaitForAll(int64_t timeout_ms);

 private:
  void OnSignal();
  // False when no child is left.
  bool Reap();

  UniqueFd signal_fd_;
  EventLoop::Watch watch_;
  std::unordered_map<pid_t, OnExit> expected_;
  std::function<void()> after_reaping_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_REAPER_H_
