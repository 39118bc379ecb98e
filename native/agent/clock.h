#ifndef MSB_AGENT_CLOCK_H_
#define MSB_AGENT_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace msb::agent {

inline int64_t MonotonicUsec() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

inline int64_t MonotonicMs() { return MonotonicUsec() / 1000; }

}  // namespace msb::agent

#endif  // MSB_AGENT_CLOCK_H_
