#include "agent/input_writer.h"

#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/messages.h"

namespace msb::agent {

Status InputWriter::Open(UniqueFd fd, bool is_pty) {
  fd_ = std::move(fd);
  is_pty_ = is_pty;
  return loop_->Add(
      fd_.get(), 0, [this](uint32_t) { Write(); }, &watch_);
}

void InputWriter::Accept(std::string_view bytes, bool end) {
  pending_ += bytes.size();
  if (!fd_.valid()) return Discard();
  if (ended_) {
    // What came before the end is still on its way.
    pending_ -= bytes.size();
    return window_->Consume(bytes.size());
  }
  if (!bytes.empty()) last_byte_ = bytes.back();
  buffer_.append(bytes);
  if (end) {
    ended_ = true;
    if (is_pty_) buffer_.append(EndOfFileKeys());
  }
  Write();
}

void InputWriter::Close() {
  watch_.Stop();
  fd_.Reset();
  Discard();
}

void InputWriter::Write() {
  while (written_ < buffer_.size()) {
    const ssize_t count = write(fd_.get(), buffer_.data() + written_, buffer_.size() - written_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    // EPIPE, or EIO of a pty that nobody has open: nobody reads it any more.
    if (count < 0) return Close();
    written_ += static_cast<size_t>(count);
    const size_t taken = std::min(pending_, static_cast<size_t>(count));
    pending_ -= taken;
    window_->Consume(taken);
  }
  if (written_ == buffer_.size() || written_ >= kWindowBytes / 4) {
    buffer_.erase(0, written_);
    written_ = 0;
  }
  if (!buffer_.empty()) {
    watch_.SetEvents(EPOLLOUT);
  } else if (ended_ && !is_pty_) {
    Close();
  } else {
    watch_.SetEvents(0);
  }
}

void InputWriter::Discard() {
  buffer_.clear();
  written_ = 0;
  window_->Consume(std::exchange(pending_, 0));
}

// The first key only hands an unfinished line to the reader; the second one is the end of file.
std::string InputWriter::EndOfFileKeys() const {
  termios settings = {};
  if (tcgetattr(fd_.get(), &settings) != 0) return "\x04";
  const char key = static_cast<char>(settings.c_cc[VEOF]);
  const bool has_open_line = (settings.c_lflag & ICANON) != 0 && last_byte_ != '\n';
  return std::string(has_open_line ? 2 : 1, key);
}

}  // namespace msb::agent
