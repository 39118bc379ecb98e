#ifndef MSB_AGENT_EVENT_LOOP_H_
#define MSB_AGENT_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// The one thread of the agent: file descriptors, timers and deferred tasks. Everything may be
// stopped or destroyed from within its own callback.
class EventLoop {
 public:
  using Callback = std::function<void(uint32_t events)>;
  using Task = std::function<void()>;

  // Stops watching when destroyed. The descriptor must outlive it.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept { *this = std::move(other); }
    Watch& operator=(Watch&& other) noexcept {
      Stop();
      loop_ = std::exchange(other.loop_, nullptr);
      id_ = other.id_;
      return *this;
    }
    ~Watch() { Stop(); }
    // 0 pauses, and hides even EPOLLHUP.
    void SetEvents(uint32_t events);
    void Stop();

   private:
    friend class EventLoop;
    EventLoop* loop_ = nullptr;
    uint64_t id_ = 0;
  };

  // Runs one task at a time; cancelled when destroyed.
  class Timer {
   public:
    explicit Timer(EventLoop* loop) : loop_(loop) {}
    Timer(const Timer&) = delete;
    ~Timer() { Cancel(); }
    // Replaces a task that has not run yet.
    void Start(int64_t delay_ms, Task task);
    void Cancel();
    bool active() const { return deadline_ >= 0; }

   private:
    EventLoop* const loop_;
    int64_t deadline_ = -1;
    uint64_t id_ = 0;
  };

  Status Open();
  Status Add(int fd, uint32_t events, Callback callback, Watch* watch);
  // Runs `task` after the callbacks of this turn.
  void Defer(Task task) { deferred_.push_back(std::move(task)); }
  // Waits for something to happen and runs what is due.
  Status RunOnce();

 private:
  struct Entry {
    int fd;
    uint32_t events;
    Callback callback;
  };

  int WaitMs() const;
  void RunTimers();
  void RunDeferred();

  UniqueFd epoll_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<Entry>> entries_;
  std::map<std::pair<int64_t, uint64_t>, std::pair<Timer*, Task>> timers_;
  std::vector<Task> deferred_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_EVENT_LOOP_H_
