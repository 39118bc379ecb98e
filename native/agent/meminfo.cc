#include "agent/meminfo.h"

#include <cstdlib>

#include "agent/small_file.h"

namespace msb::agent {

int64_t MemoryBytes(std::string_view key) {
  const StatusOr<std::string> info = ReadSmallFile("/proc/meminfo", 64 * 1024);
  if (!info.ok()) return 0;
  const size_t position = info.value().find(key);
  if (position == std::string::npos) return 0;
  return std::strtoll(info.value().c_str() + position + key.size(), nullptr, 10) * 1024;
}

}  // namespace msb::agent
