#ifndef MSB_AGENT_INPUT_WINDOW_H_
#define MSB_AGENT_INPUT_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "agent/messages.h"

namespace msb::agent {

// Counts the bytes that an exec gets from the host, over all of its channels, and grants credit.
class InputWindow {
 public:
  using GrantCredit = std::function<void(uint64_t consumed, uint64_t limit)>;

  explicit InputWindow(GrantCredit grant) : grant_(std::move(grant)) {}

  // False when the host passed the limit.
  bool Receive(size_t bytes);
  // The program took them, or nobody ever will.
  void Consume(size_t bytes);
  // A new connection: the window opens at what was received.
  void Rewind();

  uint64_t received() const { return received_; }
  // Bytes received that the program has not taken.
  uint64_t pending() const { return received_ - consumed_; }

 private:
  const GrantCredit grant_;
  uint64_t received_ = 0;
  uint64_t consumed_ = 0;
  uint64_t credited_ = 0;  // the `consumed` that the host knows
  uint64_t limit_ = kWindowBytes;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_INPUT_WINDOW_H_
