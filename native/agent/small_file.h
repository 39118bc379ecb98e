#ifndef MSB_AGENT_SMALL_FILE_H_
#define MSB_AGENT_SMALL_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace msb::agent {

// The content of a file of at most `max_bytes`; a longer one is an error (EFBIG).
StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes);

// The number that such a file begins with; `fallback` where it is not there, or is no number above
// 0.
int64_t ReadNumber(const std::string& path, int64_t fallback);

// The number of the line of `text` that begins with `name` and a space; 0 when there is none.
int64_t NumberOf(std::string_view text, std::string_view name);

// Writes `text` to an existing file in one write, as files of /proc and /sys want it.
Status WriteSmallFile(const std::string& path, std::string_view text);

}  // namespace msb::agent

#endif  // MSB_AGENT_SMALL_FILE_H_
