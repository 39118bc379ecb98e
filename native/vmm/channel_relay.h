#ifndef MSB_VMM_CHANNEL_RELAY_H_
#define MSB_VMM_CHANNEL_RELAY_H_

#include <poll.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace msb::vmm {

// One channel between the VM process and whichever host program is connected to its unix socket. At
// most one host is connected; a new one replaces the old.
//
// A stream channel (agent) carries bytes both ways with back-pressure and loses none while a host
// is connected; without a host the VM side is left unread, and what lay in the buffers of a host
// that left is dropped. A console channel is always drained; the last 64 KiB are kept and replayed
// to every new host, a slow host loses the oldest bytes, and what a host sends is dropped.
class ChannelRelay {
 public:
  enum class Kind { kStream, kConsole };

  ChannelRelay(Kind kind, UniqueFd listener, UniqueFd vm);

  // Appends what to poll for; Handle() gets the same entries back.
  void AddPolls(std::vector<pollfd>* polls);
  // Works on the entries that AddPolls appended, starting at `first`.
  void Handle(const std::vector<pollfd>& polls, size_t first);

  // The VM process is gone: its side is read to the end even though no more can be written to it.
  void Drain() { draining_ = true; }
  // While draining: everything the VM wrote has been delivered, or nobody is there to take it.
  bool IsDelivered() const;

  bool has_host() const { return host_.valid(); }
  // The VM has written something, read or not.
  bool seen_life() const { return seen_life_; }

 private:
  void Accept();
  void ReadHost();
  void WriteHost();
  void ReadVm();
  void WriteVm();
  void DropHost();
  void KeepForHosts(const char* data, size_t size);
  bool WantsVmBytes() const;

  const Kind kind_;
  UniqueFd listener_;
  UniqueFd host_;
  UniqueFd vm_;
  std::string to_host_;
  std::string to_vm_;
  std::string kept_;
  bool seen_life_ = false;
  bool draining_ = false;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_CHANNEL_RELAY_H_
