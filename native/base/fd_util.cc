#include "base/fd_util.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

namespace msb {
namespace {

// What RLIMIT_NOFILE says when it says "unlimited"; a loop to there would take seconds.
constexpr rlim_t kMaxScannedFds = 65536;

// [first, last], both included.
void CloseRange(unsigned first, unsigned last) {
  if (first > last) return;
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
  rlimit limit = {};
  rlim_t end = kMaxScannedFds;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) end = std::min(end, limit.rlim_cur);
  for (unsigned fd = first; fd <= last && fd < end; ++fd) close(static_cast<int>(fd));
}

}  // namespace

Status SetNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return Status::Errno("fcntl", "cannot make a descriptor non-blocking");
  }
  return Status();
}

Status SetCloseOnExec(int fd, bool close_on_exec) {
  if (fcntl(fd, F_SETFD, close_on_exec ? FD_CLOEXEC : 0) < 0) {
    return Status::Errno("fcntl", "cannot set the close-on-exec flag");
  }
  return Status();
}

Status MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int fds[2];
#ifdef __linux__
  if (pipe2(fds, O_CLOEXEC) != 0) return Status::Errno("pipe2", "cannot make a pipe");
#else
  if (pipe(fds) != 0) return Status::Errno("pipe", "cannot make a pipe");
#endif
  read_end->Reset(fds[0]);
  write_end->Reset(fds[1]);
#ifndef __linux__
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[0], true));
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[1], true));
#endif
  return Status();
}

Status MakeSocketPair(UniqueFd* one, UniqueFd* other) {
  int fds[2];
#ifdef __linux__
  const int type = SOCK_STREAM | SOCK_CLOEXEC;
#else
  const int type = SOCK_STREAM;
#endif
  if (socketpair(AF_UNIX, type, 0, fds) != 0) {
    return Status::Errno("socketpair", "cannot make a pair of sockets");
  }
  one->Reset(fds[0]);
  other->Reset(fds[1]);
#ifndef __linux__
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[0], true));
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[1], true));
#endif
  return Status();
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = RetryOnEintr([&] { return write(fd, bytes.data(), bytes.size()); });
    if (count < 0) return Status::Errno("write", "cannot write");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return Status();
}

StatusOr<std::string> ReadToEnd(int fd, size_t max_bytes) {
  std::string bytes;
  char chunk[4096];
  for (;;) {
    const ssize_t count = RetryOnEintr([&] { return read(fd, chunk, sizeof chunk); });
    if (count < 0) return Status::Errno("read", "cannot read");
    if (count == 0) return bytes;
    if (bytes.size() + static_cast<size_t>(count) > max_bytes) {
      return Status::Error("read", EFBIG, "more than " + std::to_string(max_bytes) + " bytes");
    }
    bytes.append(chunk, static_cast<size_t>(count));
  }
}

void CloseAllExcept(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned next = 0;
  for (const int fd : keep) {
    if (fd < 0) continue;
    const unsigned kept = static_cast<unsigned>(fd);
    if (kept > next) CloseRange(next, kept - 1);
    next = std::max(next, kept + 1);
  }
  CloseRange(next, UINT_MAX);
}

int64_t MonotonicMicros() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace msb
