#include "agent/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>

#include "agent/clock.h"

namespace msb::agent {

Status EventLoop::Open() {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Status::Errno("epoll_create1", "event loop");
  return {};
}

Status EventLoop::Add(int fd, uint32_t events, Callback callback, Watch* watch) {
  const uint64_t id = ++last_id_;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (events != 0 && epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return Status::Errno("epoll_ctl", "event loop");
  }
  entries_[id] = std::make_shared<Entry>(Entry{fd, events, std::move(callback)});
  watch->Stop();
  watch->loop_ = this;
  watch->id_ = id;
  return {};
}

void EventLoop::Watch::SetEvents(uint32_t events) {
  if (loop_ == nullptr) return;
  Entry& entry = *loop_->entries_[id_];
  if (entry.events == events) return;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id_;
  const int operation = events == 0         ? EPOLL_CTL_DEL
                        : entry.events == 0 ? EPOLL_CTL_ADD
                                            : EPOLL_CTL_MOD;
  epoll_ctl(loop_->epoll_.get(), operation, entry.fd, &event);
  entry.events = events;
}

void EventLoop::Watch::Stop() {
  if (loop_ == nullptr) return;
  SetEvents(0);
  loop_->entries_.erase(id_);
  loop_ = nullptr;
}

void EventLoop::Timer::Start(int64_t delay_ms, Task task) {
  Cancel();
  deadline_ = MonotonicMs() + delay_ms;
  id_ = ++loop_->last_id_;
  loop_->timers_[{deadline_, id_}] = {this, std::move(task)};
}

void EventLoop::Timer::Cancel() {
  if (deadline_ < 0) return;
  loop_->timers_.erase({deadline_, id_});
  deadline_ = -1;
}

int EventLoop::WaitMs() const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return -1;
  const int64_t left = timers_.begin()->first.first - MonotonicMs();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

Status EventLoop::RunOnce() {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, WaitMs());
  if (count < 0 && errno != EINTR) return Status::Errno("epoll_wait", "event loop");
  for (int i = 0; i < count; ++i) {
    // An earlier callback of this turn may have stopped it.
    const auto found = entries_.find(events[i].data.u64);
    if (found == entries_.end() || found->second->events == 0) continue;
    const std::shared_ptr<Entry> entry = found->second;
    entry->callback(events[i].events);
  }
  RunTimers();
  RunDeferred();
  return {};
}

void EventLoop::RunTimers() {
  if (timers_.empty()) return;
  const int64_t now = MonotonicMs();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto [timer, task] = std::move(timers_.begin()->second);
    timer->Cancel();
    task();
  }
}

void EventLoop::RunDeferred() {
  std::vector<Task> tasks = std::exchange(deferred_, {});
  for (Task& task : tasks) task();
}

}  // namespace msb::agent
