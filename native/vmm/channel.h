#ifndef MSB_VMM_CHANNEL_H_
#define MSB_VMM_CHANNEL_H_

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace msb::vmm {

inline constexpr size_t kChannelBufferBytes = 64 * 1024;

// One stream of the VM, offered to host programs on a listening unix socket, one connection at a
// time: a new connection replaces the old one. The owner polls what Prepare() asks for and hands
// the answer to Handle().
class Channel {
 public:
  static constexpr size_t kPollFds = 3;

  virtual ~Channel() = default;

  const std::string& name() const { return name_; }
  bool has_host() const { return host_.valid(); }
  // A byte has come from the VM.
  bool is_alive() const { return is_alive_; }

  void Prepare(pollfd fds[kPollFds]) const;
  void Handle(const pollfd fds[kPollFds]);

  // For when the VM process has ended: takes over what it has left behind. Pending() then says
  // whether a connected host still lacks some of it.
  void Drain();
  virtual bool Pending() const = 0;
  void DropHost();

  // The last bytes of what it keeps, at most `max_bytes`.
  virtual std::string Tail(size_t max_bytes) const { return ""; }

 protected:
  // Takes both descriptors. `vm` is a socket or the master of a pty.
  Channel(std::string name, UniqueFd listener, UniqueFd vm);

  // What the subclass wants to do now, given its buffers.
  virtual short WantedFromHost() const = 0;
  virtual short WantedFromVm() const = 0;
  virtual void OnHostReadable() = 0;
  virtual void OnHostWritable() = 0;
  virtual void OnVmReadable() = 0;
  virtual void OnVmWritable() = 0;
  virtual void OnHostChanged() = 0;

  // Bytes read, 0 when there are none now. On end of file or an error the end is dropped and 0
  // returned.
  size_t ReadHost(char* buffer, size_t size);
  size_t WriteHost(std::string_view bytes);
  size_t ReadVm(char* buffer, size_t size);
  size_t WriteVm(std::string_view bytes);
  bool has_vm() const { return vm_.valid(); }

 private:
  void Accept();
  void LookForSignOfLife();

  const std::string name_;
  UniqueFd listener_;
  UniqueFd vm_;
  UniqueFd host_;
  bool is_alive_ = false;
};

// Bytes both ways with back-pressure both ways. While no host is connected nothing is read from the
// VM; what is on its way when a host goes is dropped.
std::unique_ptr<Channel> MakeRelayChannel(std::string name, UniqueFd listener, UniqueFd vm);

// Output only. The VM is always read, so that it never waits for a reader: the last 64 KiB are kept
// and replayed to each new host, and a slow host loses the oldest bytes.
std::unique_ptr<Channel> MakeConsoleChannel(std::string name, UniqueFd listener, UniqueFd vm);

}  // namespace msb::vmm

#endif  // MSB_VMM_CHANNEL_H_
