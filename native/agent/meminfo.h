#ifndef MSB_AGENT_MEMINFO_H_
#define MSB_AGENT_MEMINFO_H_

#include <cstdint>
#include <string_view>

namespace msb::agent {

// A line of /proc/meminfo, such as "MemTotal:", in bytes; 0 when it is not there.
int64_t MemoryBytes(std::string_view key);

}  // namespace msb::agent

#endif  // MSB_AGENT_MEMINFO_H_
