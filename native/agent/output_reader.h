#ifndef MSB_AGENT_OUTPUT_READER_H_
#define MSB_AGENT_OUTPUT_READER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/output_buffer.h"
#include "base/unique_fd.h"

namespace msb::agent {

// Takes what a program writes to stdout, stderr and its control channel into one buffer, as far as
// that has room. Three descriptors know no common order; this one is kept: what was written to
// stdout and stderr before a control byte comes before it. How much that is can be asked at the
// moment when the control byte is there, so a program that floods stdout delays it by no more
// than the pipe holds.
class OutputReader {
 public:
  explicit OutputReader(OutputBuffer* buffer) : buffer_(buffer) {}

  // `fd` must not block. Channels without one count as ended.
  void Open(Channel channel, UniqueFd fd);
  int fd(Channel channel) const { return source(channel).fd.get(); }
  // End of file, or never opened.
  bool ended(Channel channel) const { return !source(channel).fd.valid() || source(channel).ended; }
  void Close(Channel channel) { source(channel).fd.Reset(); }

  // One piece of each descriptor; false when there was nothing, or no room for it.
  bool ReadPass();
  // What comes from now on is read and dropped.
  void Drop();

  // Control bytes, or the end of the control channel, wait for room.
  bool holding() const { return !held_.empty() || holds_end_; }
  bool at_end() const;
  // Where in the output the control channel ended, once it has and all before it is in the buffer.
  std::optional<uint64_t> control_end() const { return control_end_; }

 private:
  struct Source {
    UniqueFd fd;
    bool ended = false;
    // Bytes that come before what is held.
    size_t owed = 0;
  };

  Source& source(Channel channel) { return sources_[static_cast<size_t>(channel) - 1]; }
  const Source& source(Channel channel) const { return sources_[static_cast<size_t>(channel) - 1]; }
  // The count of bytes that came; 0 when there are none now.
  size_t ReadPiece(Channel channel, size_t max_bytes);
  bool ReadControl();
  // What the pipes hold at this moment.
  void CountOwed();
  // Moves on with what is held; true when something moved.
  bool ReleaseHeld();

  OutputBuffer* const buffer_;
  std::array<Source, 3> sources_;  // by channel: stdout, stderr, control
  std::string held_;
  bool holds_end_ = false;
  std::optional<uint64_t> control_end_;
  bool dropping_ = false;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_OUTPUT_READER_H_
