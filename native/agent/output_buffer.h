#ifndef MSB_AGENT_OUTPUT_BUFFER_H_
#define MSB_AGENT_OUTPUT_BUFFER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/frame.h"

namespace msb::agent {

// The output of an exec that the host has not consumed yet, in arrival order. Offsets count all
// output bytes since the exec began.
class OutputBuffer {
 public:
  uint64_t start() const { return start_; }
  uint64_t end() const { return end_; }
  // Bytes that may be appended now. 0 when the window is full, or when the bytes alternate between
  // the channels so often that keeping them costs too much.
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
  struct Segment {
    uint64_t start;
    Channel channel;
    std::string bytes;
  };

  uint64_t start_ = 0;
  uint64_t end_ = 0;
  std::deque<Segment> segments_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_OUTPUT_BUFFER_H_
