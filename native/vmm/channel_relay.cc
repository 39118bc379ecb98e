#include "vmm/channel_relay.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/fd_ops.h"

namespace msb::vmm {
namespace {

constexpr size_t kBufferBytes = 65536;

// poll() skips entries with a negative descriptor.
pollfd Watch(const UniqueFd& fd, short events) { return {events != 0 ? fd.get() : -1, events, 0}; }

bool IsReadable(const pollfd& entry) { return (entry.revents & (POLLIN | POLLHUP | POLLERR)) != 0; }

bool MayRetry() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

ChannelRelay::ChannelRelay(Kind kind, UniqueFd listener, UniqueFd vm)
    : kind_(kind), listener_(std::move(listener)), vm_(std::move(vm)) {}

bool ChannelRelay::WantsVmBytes() const {
  if (!vm_.valid()) return false;
  if (kind_ == Kind::kConsole) return true;
  if (host_.valid()) return to_host_.size() < kBufferBytes;
  // Without a host only the first sign of life is looked for; when draining, the end.
  return !seen_life_ || draining_;
}

void ChannelRelay::AddPolls(std::vector<pollfd>* polls) {
  polls->push_back(Watch(listener_, POLLIN));
  short host_events = 0;
  if (host_.valid()) {
    if (to_vm_.size() < kBufferBytes) host_events |= POLLIN;
    if (!to_host_.empty()) host_events |= POLLOUT;
  }
  polls->push_back(Watch(host_, host_events));
  short vm_events = WantsVmBytes() ? POLLIN : 0;
  if (vm_.valid() && !to_vm_.empty() && !draining_) vm_events |= POLLOUT;
  polls->push_back(Watch(vm_, vm_events));
}

void ChannelRelay::Handle(const std::vector<pollfd>& polls, size_t first) {
  const pollfd& host = polls[first + 1];
  const pollfd& vm = polls[first + 2];
  if (vm.fd >= 0) {
    if (IsReadable(vm) && WantsVmBytes()) ReadVm();
    if ((vm.revents & POLLOUT) != 0) WriteVm();
  }
  if (host.fd >= 0 && host.fd == host_.get()) {
    if (IsReadable(host)) ReadHost();
    if (host_.valid() && !to_host_.empty()) WriteHost();
  }
  if ((polls[first].revents & POLLIN) != 0) Accept();
}

bool ChannelRelay::IsDelivered() const {
  return !vm_.valid() && (to_host_.empty() || !host_.valid());
}

void ChannelRelay::Accept() {
  UniqueFd accepted(::accept(listener_.get(), nullptr, nullptr));
  if (!accepted.valid()) return;
  if (!SetCloseOnExec(accepted.get(), true).ok() || !SetNonBlocking(accepted.get()).ok()) return;
  DropHost();
  host_ = std::move(accepted);
  to_host_ = kept_;
}

void ChannelRelay::DropHost() {
  host_.Reset();
  to_host_.clear();
  to_vm_.clear();
}

void ChannelRelay::ReadHost() {
  char buffer[kBufferBytes];
  const ssize_t count = ReadRetry(host_.get(), buffer, sizeof buffer);
  if (count == 0 || (count < 0 && !MayRetry())) {
    DropHost();
    return;
  }
  if (count < 0 || kind_ == Kind::kConsole || !vm_.valid()) return;
  to_vm_.append(buffer, static_cast<size_t>(count));
  WriteVm();
}

void ChannelRelay::WriteHost() {
  const ssize_t count = ::send(host_.get(), to_host_.data(), to_host_.size(), MSG_NOSIGNAL);
  if (count < 0) {
    if (!MayRetry() && errno != EINTR) DropHost();
    return;
  }
  to_host_.erase(0, static_cast<size_t>(count));
}

void ChannelRelay::ReadVm() {
  if (kind_ == Kind::kStream && !host_.valid() && !draining_) {
    // The bytes wait for a host; that there are some is the sign of life.
    char byte;
    const ssize_t peeked = ::recv(vm_.get(), &byte, 1, MSG_PEEK);
    if (peeked > 0) seen_life_ = true;
    if (peeked == 0) vm_.Reset();
    return;
  }
  char buffer[kBufferBytes];
  const ssize_t count = ReadRetry(vm_.get(), buffer, sizeof buffer);
  if (count < 0 && MayRetry()) {
    // A drained VM is gone: a socket says so by end of file, a terminal may only ever be empty.
    if (draining_) vm_.Reset();
    return;
  }
  if (count <= 0) {
    vm_.Reset();
    to_vm_.clear();
    return;
  }
  seen_life_ = true;
  if (kind_ == Kind::kConsole) KeepForHosts(buffer, static_cast<size_t>(count));
  if (!host_.valid()) return;
  to_host_.append(buffer, static_cast<size_t>(count));
  if (kind_ == Kind::kConsole && to_host_.size() > 2 * kBufferBytes) {
    to_host_.erase(0, to_host_.size() - 2 * kBufferBytes);
  }
  WriteHost();
}

void ChannelRelay::WriteVm() {
  if (!vm_.valid() || to_vm_.empty()) return;
  const ssize_t count = WriteRetry(vm_.get(), to_vm_.data(), to_vm_.size());
  if (count < 0) {
    if (!MayRetry()) to_vm_.clear();
    return;
  }
  to_vm_.erase(0, static_cast<size_t>(count));
}

void ChannelRelay::KeepForHosts(const char* data, size_t size) {
  kept_.append(data, size);
  if (kept_.size() > kBufferBytes) kept_.erase(0, kept_.size() - kBufferBytes);
}

}  // namespace msb::vmm
