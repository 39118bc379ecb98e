#ifndef MSB_AGENT_INPUT_WRITER_H_
#define MSB_AGENT_INPUT_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/event_loop.h"
#include "agent/input_window.h"
#include "base/unique_fd.h"

namespace msb::agent {

// One channel of bytes to a program, its stdin or its control channel: keeps what the program has
// not taken yet. A program that closed its end takes everything.
class InputWriter {
 public:
  InputWriter(EventLoop* loop, InputWindow* window) : loop_(loop), window_(window) {}

  Status Open(UniqueFd fd, bool is_pty);
  // Bytes that the window has received.
  void Accept(std::string_view bytes, bool end);
  // From now on everything is dropped.
  void Close();

 private:
  void Write();
  void Discard();
  std::string EndOfFileKeys() const;

  EventLoop* const loop_;
  InputWindow* const window_;
  UniqueFd fd_;
  EventLoop::Watch watch_;
  bool is_pty_ = false;
  bool ended_ = false;
  char last_byte_ = '\n';
  std::string buffer_;
  size_t written_ = 0;  // of buffer_
  // Bytes of the host that the program has not taken; the keys at the end of a pty are not its.
  size_t pending_ = 0;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_INPUT_WRITER_H_
