#ifndef MSB_AGENT_SMALL_FILE_H_
#define MSB_AGENT_SMALL_FILE_H_

#include <string>
#include <string_view>

#include "base/status.h"

namespace msb::agent {

// The content of a file of at most `max_bytes`; a longer one is an error (EFBIG).
StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes);

// Writes `text` to an existing file in one write, as files of /proc and /sys want it.
Status WriteSmallFile(const std::string& path, std::string_view text);

}  // namespace msb::agent

#endif  // MSB_AGENT_SMALL_FILE_H_
