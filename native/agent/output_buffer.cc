#include "agent/output_buffer.h"

#include <algorithm>

#include "agent/messages.h"

namespace msb::agent {

size_t OutputBuffer::room() const { return kWindowBytes - static_cast<size_t>(end() - start_); }

void OutputBuffer::Append(Channel channel, std::string_view bytes) {
  if (bytes.empty()) return;
  const uint64_t code = static_cast<uint64_t>(channel);
  if (runs_.empty() || runs_.back().channel != code) runs_.push_back({end(), code});
  bytes_.append(bytes);
}

void OutputBuffer::Release(uint64_t offset) {
  start_ = std::max(start_, offset);
  while (runs_.size() > 1 && runs_[1].start <= start_) runs_.pop_front();
  if (start_ == end()) {
    runs_.clear();
    bytes_.clear();
    // An exec that is silent from now on should cost little.
    bytes_.shrink_to_fit();
    bytes_start_ = start_;
  } else if (start_ - bytes_start_ >= kWindowBytes / 4) {
    bytes_.erase(0, static_cast<size_t>(start_ - bytes_start_));
    bytes_start_ = start_;
  }
}

OutputBuffer::Piece OutputBuffer::At(uint64_t offset, size_t max_bytes) const {
  if (offset < start_ || offset >= end()) return {};
  const auto next =
      std::upper_bound(runs_.begin(), runs_.end(), offset,
                       [](uint64_t wanted, const Run& run) { return wanted < run.start; });
  const uint64_t run_end = next == runs_.end() ? end() : next->start;
  const size_t size = std::min(max_bytes, static_cast<size_t>(run_end - offset));
  return {static_cast<Channel>(std::prev(next)->channel),
          std::string_view(bytes_).substr(static_cast<size_t>(offset - bytes_start_), size)};
}

}  // namespace msb::agent
