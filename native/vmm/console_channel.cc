#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "vmm/channel.h"

namespace msb::vmm {
namespace {

// The last kChannelBufferBytes of a stream. Positions count all bytes ever pushed.
class Ring {
 public:
  Ring() { bytes_.resize(kChannelBufferBytes); }

  uint64_t begin() const { return end_ > bytes_.size() ? end_ - bytes_.size() : 0; }
  uint64_t end() const { return end_; }

  void Push(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t at = end_ % bytes_.size();
      const size_t count = std::min(bytes.size(), bytes_.size() - at);
      std::memcpy(bytes_.data() + at, bytes.data(), count);
      bytes.remove_prefix(count);
      end_ += count;
    }
  }

  // What follows `position` and lies in one piece.
  std::string_view From(uint64_t position) const {
    const size_t at = position % bytes_.size();
    const size_t count = std::min<uint64_t>(end_ - position, bytes_.size() - at);
    return {bytes_.data() + at, count};
  }

 private:
  std::string bytes_;
  uint64_t end_ = 0;
};

class ConsoleChannel : public Channel {
 public:
  ConsoleChannel(std::string name, UniqueFd listener, UniqueFd vm)
      : Channel(std::move(name), std::move(listener), std::move(vm)) {}

  bool Pending() const override { return has_vm() || (has_host() && sent_ < ring_.end()); }

  std::string Tail(size_t max_bytes) const override {
    std::string tail;
    uint64_t position = ring_.end() - std::min<uint64_t>(max_bytes, ring_.end() - ring_.begin());
    while (position < ring_.end()) {
      const std::string_view piece = ring_.From(position);
      tail.append(piece);
      position += piece.size();
    }
    return tail;
  }

 protected:
  short WantedFromHost() const override {
    return static_cast<short>(POLLIN | (sent_ < ring_.end() ? POLLOUT : 0));
  }
  short WantedFromVm() const override { return has_vm() ? POLLIN : 0; }

  // A console takes no input; reading tells when the host goes.
  void OnHostReadable() override { ReadHost(scratch_, sizeof scratch_); }
  void OnHostWritable() override {
    while (has_host() && sent_ < ring_.end()) {
      const size_t count = WriteHost(ring_.From(sent_));
      if (count == 0) return;
      sent_ += count;
    }
  }
  void OnVmReadable() override {
    const size_t count = ReadVm(scratch_, sizeof scratch_);
    ring_.Push({scratch_, count});
    sent_ = std::max(sent_, ring_.begin());
    OnHostWritable();
  }
  void OnVmWritable() override {}
  void OnHostChanged() override { sent_ = ring_.begin(); }

 private:
  Ring ring_;
  // The position up to which the present host has everything.
  uint64_t sent_ = 0;
  char scratch_[16 * 1024];
};

}  // namespace

std::unique_ptr<Channel> MakeConsoleChannel(std::string name, UniqueFd listener, UniqueFd vm) {
  return std::make_unique<ConsoleChannel>(std::move(name), std::move(listener), std::move(vm));
}

}  // namespace msb::vmm
