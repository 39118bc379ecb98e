#include "agent/output_reader.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/messages.h"

namespace msb::agent {
namespace {

// Shared by all readers: there is one thread.
char piece[kMaxDataBytes];

// Of a program that keeps a gap-free flood of both pipes up, each gets its turn.
constexpr Channel kPipes[] = {Channel::kStdout, Channel::kStderr};

}  // namespace

void OutputReader::Open(Channel channel, UniqueFd fd) { source(channel).fd = std::move(fd); }

bool OutputReader::ReadPass() {
  bool any = ReleaseHeld();
  // What is held now has its place in the order; what the pipes have comes behind it.
  if (holding()) return any;
  for (const Channel channel : kPipes) any = ReadPiece(channel, sizeof(piece)) > 0 || any;
  return ReadControl() || any;
}

void OutputReader::Drop() {
  dropping_ = true;
  held_.clear();
  holds_end_ = false;
}

bool OutputReader::at_end() const {
  return ended(Channel::kStdout) && ended(Channel::kStderr) && ended(Channel::kControl) &&
         !holding();
}

size_t OutputReader::ReadPiece(Channel channel, size_t max_bytes) {
  Source& from = source(channel);
  if (ended(channel)) return 0;
  const size_t room = dropping_ ? max_bytes : std::min(buffer_->room(), max_bytes);
  if (room == 0) return 0;
  const ssize_t count = read(from.fd.get(), piece, room);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (count <= 0) {  // A pty ends with EIO.
    from.ended = true;
    return 0;
  }
  const auto size = static_cast<size_t>(count);
  if (!dropping_) buffer_->Append(channel, {piece, size});
  return size;
}

bool OutputReader::ReadControl() {
  Source& control = source(Channel::kControl);
  // Without room it stays in the socket, so that the program notices.
  if (ended(Channel::kControl) || (!dropping_ && buffer_->room() == 0)) return false;
  // Only looked at so far: a program that waits until its socket is empty writes nothing more
  // before the pipes' contents have been counted.
  const ssize_t count = recv(control.fd.get(), piece, sizeof(piece), MSG_PEEK);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  CountOwed();
  if (count <= 0) {
    control.ended = true;
    holds_end_ = !dropping_;
  } else {
    const ssize_t taken = recv(control.fd.get(), piece, static_cast<size_t>(count), 0);
    if (taken <= 0) return false;
    if (dropping_) return true;
    held_.assign(piece, static_cast<size_t>(taken));
  }
  ReleaseHeld();
  return true;
}

void OutputReader::CountOwed() {
  for (const Channel channel : kPipes) {
    int waiting = 0;
    if (ended(channel) || ioctl(source(channel).fd.get(), FIONREAD, &waiting) != 0) waiting = 0;
    source(channel).owed = static_cast<size_t>(waiting);
  }
}

bool OutputReader::ReleaseHeld() {
  if (!holding()) return false;
  bool any = false;
  for (const Channel channel : kPipes) {
    Source& from = source(channel);
    while (from.owed > 0) {
      const size_t count = ReadPiece(channel, std::min(from.owed, sizeof(piece)));
      any = any || count > 0;
      from.owed -= count;
      if (count > 0) continue;
      if (buffer_->room() == 0) return any;
      // Somebody else has read it: programs can open their own pipes for reading.
      from.owed = 0;
    }
  }
  const size_t size = std::min(held_.size(), buffer_->room());
  buffer_->Append(Channel::kControl, std::string_view(held_).substr(0, size));
  held_.erase(0, size);
  if (held_.empty() && holds_end_) {
    holds_end_ = false;
    control_end_ = buffer_->end();
    return true;
  }
  return any || size > 0;
}

}  // namespace msb::agent
