#ifndef MSB_AGENT_GUEST_INIT_H_
#define MSB_AGENT_GUEST_INIT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/messages.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// When each step was done, in microseconds since the agent started.
class Timings {
 public:
  explicit Timings(int64_t start_usec) : start_usec_(start_usec) {}
  void Mark(const char* step);
  Json ToJson() const;

 private:
  const int64_t start_usec_;
  Json::Array steps_;
};

// What the agent needs before the host speaks: /dev, /proc, /sys and standard streams.
Status MountEarly();

// core.setup: makes overlay(image, upper) the root and the guest ready for programs. Returns a
// directory on the upper filesystem. After a failure the guest is of no use.
StatusOr<UniqueFd> SetUpGuest(const SetupRequest& request, Timings* timings);

// Hostname and clock, and random numbers that nobody else gets from now on.
Status TakeIdentity(const Identity& identity);

Status SetClock(int64_t clock_ms);

}  // namespace msb::agent

#endif  // MSB_AGENT_GUEST_INIT_H_
