#ifndef MSB_AGENT_INPUT_WRITER_H_
#define MSB_AGENT_INPUT_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/event_loop.h"
#include "agent/messages.h"
#include "base/unique_fd.h"

namespace msb::agent {

// The stdin of an exec: keeps what the program has not taken yet, and grants the host credit for
// what it has. A program that closed its stdin takes everything.
class InputWriter {
 public:
  using GrantCredit = std::function<void(uint64_t consumed, uint64_t limit)>;

  InputWriter(EventLoop* loop, GrantCredit grant) : loop_(loop), grant_(std::move(grant)) {}

  Status Open(UniqueFd fd, bool is_pty);
  // False when the host passed the limit.
  bool Accept(std::string_view bytes, bool end);
  // From now on everything is dropped.
  void Close();

  // Bytes received from the host.
  uint64_t received() const { return received_; }
  // Bytes received that the program has not taken.
  uint64_t pending() const { return received_ - consumed_; }
  // A new connection: the window opens at what was received.
  void Rewind();

 private:
  void Write();
  void Discard();
  void GrantIfDue();
  std::string EndOfFileKeys() const;

  EventLoop* const loop_;
  const GrantCredit grant_;
  UniqueFd fd_;
  EventLoop::Watch watch_;
  bool is_pty_ = false;
  bool ended_ = false;
  char last_byte_ = '\n';
  std::string buffer_;
  size_t written_ = 0;  // of buffer_
  uint64_t received_ = 0;
  uint64_t consumed_ = 0;
  uint64_t credited_ = 0;  // the `consumed` that the host knows
  uint64_t limit_ = kWindowBytes;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_INPUT_WRITER_H_
