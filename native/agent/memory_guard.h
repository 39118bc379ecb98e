#ifndef MSB_AGENT_MEMORY_GUARD_H_
#define MSB_AGENT_MEMORY_GUARD_H_

#include <cstdint>
#include <optional>
#include <string>

#include "agent/event_loop.h"
#include "agent/thrash_detector.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// Looks after a cgroup with a memory limit, as long as that is reached again and again: when its
// programs thrash, the kernel's out-of-memory killer gets to choose among them.
class MemoryGuard {
 public:
  explicit MemoryGuard(EventLoop* loop) : loop_(loop), timer_(loop) {}
  Status Start(std::string directory);

 private:
  void OnLimitReached();
  void Look();
  void Rest();
  std::optional<MemorySample> Sample() const;
  void LetKernelKill(const MemorySample& sample, int64_t limit_bytes);

  EventLoop* const loop_;
  std::string directory_;
  UniqueFd events_;
  EventLoop::Watch watch_;
  EventLoop::Timer timer_;
  ThrashDetector detector_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_MEMORY_GUARD_H_
