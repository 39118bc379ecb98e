#include "agent/output_buffer.h"

#include <algorithm>

#include "agent/messages.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxSegments = 4096;

}  // namespace

size_t OutputBuffer::room() const {
  if (segments_.size() >= kMaxSegments) return 0;
  return kWindowBytes - static_cast<size_t>(end_ - start_);
}

void OutputBuffer::Append(Channel channel, std::string_view bytes) {
  if (bytes.empty()) return;
  const bool extends = !segments_.empty() && segments_.back().channel == channel &&
                       segments_.back().bytes.size() + bytes.size() <= kMaxDataBytes;
  if (extends) {
    segments_.back().bytes.append(bytes);
  } else {
    segments_.push_back({end_, channel, std::string(bytes)});
  }
  end_ += bytes.size();
}

void OutputBuffer::Release(uint64_t offset) {
  start_ = std::max(start_, offset);
  while (!segments_.empty()) {
    const Segment& first = segments_.front();
    if (first.start + first.bytes.size() > start_) return;
    segments_.pop_front();
  }
}

OutputBuffer::Piece OutputBuffer::At(uint64_t offset, size_t max_bytes) const {
  if (offset < start_ || offset >= end_) return {};
  auto segment = std::upper_bound(
      segments_.begin(), segments_.end(), offset,
      [](uint64_t wanted, const Segment& candidate) { return wanted < candidate.start; });
  --segment;
  const std::string_view bytes = segment->bytes;
  return {segment->channel, bytes.substr(static_cast<size_t>(offset - segment->start), max_bytes)};
}

}  // namespace msb::agent
