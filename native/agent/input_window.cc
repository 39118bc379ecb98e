#include "agent/input_window.h"

#include <algorithm>

namespace msb::agent {

bool InputWindow::Receive(size_t bytes) {
  if (bytes > limit_ - received_) return false;
  received_ += bytes;
  return true;
}

void InputWindow::Consume(size_t bytes) {
  consumed_ += bytes;
  if (consumed_ - credited_ < kWindowBytes / 4) return;
  credited_ = consumed_;
  limit_ = std::max(limit_, consumed_ + kWindowBytes);
  grant_(consumed_, limit_);
}

void InputWindow::Rewind() {
  credited_ = consumed_;
  limit_ = received_ + kWindowBytes;
}

}  // namespace msb::agent
