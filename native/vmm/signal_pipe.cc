#include "vmm/signal_pipe.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/fd_util.h"

namespace msb::vmm {
namespace {

// The only global of this program: a signal handler has nothing else.
volatile int g_signal_fd = -1;

void OnSignal(int number) {
  const int saved_errno = errno;
  const char byte = static_cast<char>(number);
  // A full pipe already wakes the loop, and the loop looks at everything it was told of.
  const ssize_t ignored = write(g_signal_fd, &byte, 1);
  (void)ignored;
  errno = saved_errno;
}

}  // namespace

SignalPipe::~SignalPipe() { g_signal_fd = -1; }

Status SignalPipe::Open() {
  MSB_RETURN_IF_ERROR(MakePipe(&read_end_, &write_end_));
  MSB_RETURN_IF_ERROR(SetNonBlocking(read_end_.get()));
  MSB_RETURN_IF_ERROR(SetNonBlocking(write_end_.get()));
  g_signal_fd = write_end_.get();
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigfillset(&action.sa_mask);
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) {
    if (sigaction(number, &action, nullptr) != 0)
      return Status::Errno("sigaction", "cannot watch a signal");
  }
  return Status();
}

SignalPipe::Seen SignalPipe::Take() {
  Seen seen;
  char numbers[64];
  for (;;) {
    const ssize_t count =
        RetryOnEintr([&] { return read(read_end_.get(), numbers, sizeof numbers); });
    if (count <= 0) return seen;
    for (ssize_t i = 0; i < count; ++i) {
      (numbers[i] == SIGCHLD ? seen.child : seen.terminate) = true;
    }
  }
}

}  // namespace msb::vmm
