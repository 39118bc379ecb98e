#include "vmm/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/fd_util.h"

namespace msb::vmm {
namespace {

constexpr short kEnded = POLLHUP | POLLERR | POLLNVAL;

bool IsTransient(int error_number) { return error_number == EAGAIN || error_number == EWOULDBLOCK; }

}  // namespace

Channel::Channel(std::string name, UniqueFd listener, UniqueFd vm)
    : name_(std::move(name)), listener_(std::move(listener)), vm_(std::move(vm)) {}

void Channel::Prepare(pollfd fds[kPollFds]) const {
  fds[0] = {listener_.get(), POLLIN, 0};
  fds[1] = {host_.get(), 0, 0};
  if (host_.valid()) fds[1].events = WantedFromHost();
  fds[2] = {vm_.get(), WantedFromVm(), 0};
  // The sign of life is looked for even when nobody is there to read the bytes.
  if (!is_alive_) fds[2].events |= POLLIN;
  // A descriptor of which nothing is wanted would still report its hang-up again and again.
  if (fds[2].events == 0) fds[2].fd = -1;
}

void Channel::Handle(const pollfd fds[kPollFds]) {
  const short vm_wanted = WantedFromVm();
  if (fds[2].revents & (POLLIN | kEnded)) {
    if (!is_alive_) LookForSignOfLife();
    if (vm_wanted & POLLIN) OnVmReadable();
  }
  if ((fds[2].revents & POLLOUT) && has_vm()) OnVmWritable();
  if (fds[1].revents & POLLOUT) OnHostWritable();
  if (has_host() && (fds[1].revents & (POLLIN | kEnded))) {
    if (WantedFromHost() & POLLIN) {
      OnHostReadable();
    } else if (fds[1].revents & kEnded) {
      DropHost();
    }
  }
  if (fds[0].revents & POLLIN) Accept();
}

void Channel::Drain() {
  // Somebody may have connected just before the VM ended; the console is for him, too.
  if (!has_host()) Accept();
  if (has_vm() && (WantedFromVm() & POLLIN)) OnVmReadable();
}

void Channel::Accept() {
  // All at once, so that of several only the newest stays.
  for (;;) {
#ifdef __linux__
    UniqueFd host(RetryOnEintr(
        [&] { return accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
    if (!host.valid()) return;
#else
    UniqueFd host(RetryOnEintr([&] { return accept(listener_.get(), nullptr, nullptr); }));
    if (!host.valid()) return;
    if (!SetNonBlocking(host.get()).ok() || !SetCloseOnExec(host.get(), true).ok()) return;
#endif
    DropHost();
    host_ = std::move(host);
    OnHostChanged();
  }
}

void Channel::DropHost() {
  if (!host_.valid()) return;
  host_.Reset();
  OnHostChanged();
}

void Channel::LookForSignOfLife() {
  char byte;
  const ssize_t count = recv(vm_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count == 1) is_alive_ = true;
  // A pty cannot be peeked at (ENOTSOCK), but it is always read. Otherwise the VM has closed its
  // end.
  if (count == 0 || (count < 0 && !IsTransient(errno) && errno != ENOTSOCK)) vm_.Reset();
}

size_t Channel::ReadHost(char* buffer, size_t size) {
  const ssize_t count = RetryOnEintr([&] { return read(host_.get(), buffer, size); });
  if (count > 0) return static_cast<size_t>(count);
  if (count == 0 || !IsTransient(errno)) DropHost();
  return 0;
}

size_t Channel::WriteHost(std::string_view bytes) {
  if (bytes.empty() || !host_.valid()) return 0;
  const ssize_t count =
      RetryOnEintr([&] { return write(host_.get(), bytes.data(), bytes.size()); });
  if (count >= 0) return static_cast<size_t>(count);
  if (!IsTransient(errno)) DropHost();
  return 0;
}

size_t Channel::ReadVm(char* buffer, size_t size) {
  const ssize_t count = RetryOnEintr([&] { return read(vm_.get(), buffer, size); });
  if (count > 0) {
    is_alive_ = true;
    return static_cast<size_t>(count);
  }
  // EIO: the last user of the pty's other side is gone.
  if (count == 0 || !IsTransient(errno)) vm_.Reset();
  return 0;
}

size_t Channel::WriteVm(std::string_view bytes) {
  if (bytes.empty() || !vm_.valid()) return 0;
  const ssize_t count = RetryOnEintr([&] { return write(vm_.get(), bytes.data(), bytes.size()); });
  if (count >= 0) return static_cast<size_t>(count);
  if (!IsTransient(errno)) vm_.Reset();
  return 0;
}

}  // namespace msb::vmm
