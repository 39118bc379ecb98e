#include "base/fd_ops.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace msb {
namespace {

// pipe2() and SOCK_CLOEXEC do not exist on macOS; a fork between the two calls would leak, so
// callers on threads that fork must not rely on this there.
StatusOr<FdPair> CloseOnExec(int fds[2]) {
  FdPair pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[0], true));
  MSB_RETURN_IF_ERROR(SetCloseOnExec(fds[1], true));
  return pair;
}

}  // namespace

StatusOr<FdPair> MakePipe() {
  int fds[2];
#ifdef __linux__
  if (::pipe2(fds, O_CLOEXEC) != 0) return Status::Errno("pipe2", "cannot make a pipe");
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
#else
  if (::pipe(fds) != 0) return Status::Errno("pipe", "cannot make a pipe");
  return CloseOnExec(fds);
#endif
}

StatusOr<FdPair> MakeSocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
    return Status::Errno("socketpair", "cannot make a socket pair");
  }
  return CloseOnExec(fds);
}

Status SetCloseOnExec(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFD);
  const int wanted = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
  if (flags < 0 || ::fcntl(fd, F_SETFD, wanted) != 0) {
    return Status::Errno("fcntl", "cannot set close-on-exec");
  }
  return Status();
}

Status SetNonBlocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return Status::Errno("fcntl", "cannot make a descriptor non-blocking");
  }
  return Status();
}

ssize_t ReadRetry(int fd, void* buffer, size_t size) {
  ssize_t result;
  do {
    result = ::read(fd, buffer, size);
  } while (result < 0 && errno == EINTR);
  return result;
}

ssize_t WriteRetry(int fd, const void* buffer, size_t size) {
  ssize_t result;
  do {
    result = ::write(fd, buffer, size);
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace msb
