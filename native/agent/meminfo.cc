#include "agent/meminfo.h"

#include "agent/small_file.h"

namespace msb::agent {

int64_t MemoryBytes(std::string_view key) {
  const StatusOr<std::string> info = ReadSmallFile("/proc/meminfo", 64 * 1024);
  return info.ok() ? NumberOf(info.value(), key) * 1024 : 0;
}

}  // namespace msb::agent
