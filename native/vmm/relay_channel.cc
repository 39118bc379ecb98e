#include <poll.h>

#include <string>
#include <string_view>
#include <utility>

#include "vmm/channel.h"

namespace msb::vmm {
namespace {

// Bytes on their way in one direction, at most kChannelBufferBytes.
class ByteQueue {
 public:
  ByteQueue() { bytes_.resize(kChannelBufferBytes); }

  std::string_view pending() const { return {bytes_.data() + begin_, end_ - begin_}; }
  size_t room() const { return bytes_.size() - end_; }
  char* tail() { return bytes_.data() + end_; }
  void Added(size_t count) { end_ += count; }
  void Removed(size_t count) {
    begin_ += count;
    if (begin_ == end_) Clear();
  }
  void Clear() { begin_ = end_ = 0; }

 private:
  std::string bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

class RelayChannel : public Channel {
 public:
  RelayChannel(std::string name, UniqueFd listener, UniqueFd vm)
      : Channel(std::move(name), std::move(listener), std::move(vm)) {}

  bool Pending() const override { return has_host() && (!to_host_.pending().empty() || has_vm()); }

 protected:
  // A direction is read again when all of the last reading has been passed on; that keeps its bytes
  // in one piece.
  short WantedFromHost() const override {
    return static_cast<short>((to_vm_.pending().empty() && has_vm() ? POLLIN : 0) |
                              (to_host_.pending().empty() ? 0 : POLLOUT));
  }
  short WantedFromVm() const override {
    return static_cast<short>((has_host() && to_host_.pending().empty() ? POLLIN : 0) |
                              (to_vm_.pending().empty() ? 0 : POLLOUT));
  }

  void OnHostReadable() override {
    to_vm_.Added(ReadHost(to_vm_.tail(), to_vm_.room()));
    OnVmWritable();
  }
  void OnVmWritable() override { to_vm_.Removed(WriteVm(to_vm_.pending())); }
  void OnVmReadable() override {
    to_host_.Added(ReadVm(to_host_.tail(), to_host_.room()));
    OnHostWritable();
  }
  void OnHostWritable() override { to_host_.Removed(WriteHost(to_host_.pending())); }

  void OnHostChanged() override {
    to_host_.Clear();
    to_vm_.Clear();
  }

 private:
  ByteQueue to_host_;
  ByteQueue to_vm_;
};

}  // namespace

std::unique_ptr<Channel> MakeRelayChannel(std::string name, UniqueFd listener, UniqueFd vm) {
  return std::make_unique<RelayChannel>(std::move(name), std::move(listener), std::move(vm));
}

}  // namespace msb::vmm
