#ifndef MSB_AGENT_OUTPUT_BUFFER_H_
#define MSB_AGENT_OUTPUT_BUFFER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/frame.h"

namespace msb::agent {

// The output of an exec that the host has not consumed yet, in arrival order: at most one window.
// Offsets count all output bytes since the exec began.
class OutputBuffer {
 public:
  uint64_t start() const { return start_; }
  uint64_t end() const { return bytes_start_ + bytes_.size(); }
  // Bytes that may be appended now.
  size_t room() const;

  void Append(Channel channel, std::string_view bytes);
  // Forgets what lies before `offset`, which must not be beyond the end.
  void Release(uint64_t offset);

  struct Piece {
    Channel channel = Channel::kStdout;
    std::string_view bytes;
  };
  // Bytes of one channel from `offset` on, at most `max_bytes`; valid until the next change.
  Piece At(uint64_t offset, size_t max_bytes) const;

 private:
  // Where bytes of one channel begin. There may be one a byte, so it is small.
  struct Run {
    uint64_t start : 62;
    uint64_t channel : 2;
  };

  uint64_t start_ = 0;
  // The bytes begin at or before `start_`: moving them at each release would cost too much.
  uint64_t bytes_start_ = 0;
  std::string bytes_;
  std::deque<Run> runs_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_OUTPUT_BUFFER_H_
