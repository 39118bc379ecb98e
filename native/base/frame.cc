#include "base/frame.h"

namespace msb {
namespace {

// Zero bytes in a row that end a resync.
constexpr size_t kResyncZeros = 16;
constexpr size_t kCreditPayloadBytes = 16;
constexpr uint8_t kFlagEnd = 1;

uint32_t ReadU32(std::string_view bytes, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  return value;
}

void AppendU32(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

// Fills in all fields but the payload; false when a field is out of its range.
bool ReadHeader(std::string_view bytes, Frame* frame, size_t* length) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t type = byte(1);
  if (type < static_cast<uint8_t>(FrameType::kControl)) return false;
  if (type > static_cast<uint8_t>(FrameType::kCredit)) return false;
  frame->type = static_cast<FrameType>(type);
  const bool is_data = frame->type == FrameType::kData;
  if (byte(2) > (is_data ? static_cast<uint8_t>(Channel::kControl) : 0)) return false;
  frame->channel = static_cast<Channel>(byte(2));
  if (byte(3) > (is_data ? kFlagEnd : 0)) return false;
  frame->end = byte(3) == kFlagEnd;
  frame->stream = ReadU32(bytes, 4);
  if (frame->stream > kMaxStream) return false;
  if (frame->stream == 0 && frame->type != FrameType::kControl) return false;
  *length = ReadU32(bytes, 8);
  if (frame->type == FrameType::kCredit) return *length == kCreditPayloadBytes;
  return *length <= kMaxPayloadBytes;
}

}  // namespace

void AppendFrame(const Frame& frame, std::string* out) {
  out->push_back(static_cast<char>(kFrameMark));
  out->push_back(static_cast<char>(frame.type));
  out->push_back(static_cast<char>(frame.channel));
  out->push_back(static_cast<char>(frame.end ? kFlagEnd : 0));
  AppendU32(frame.stream, out);
  AppendU32(static_cast<uint32_t>(frame.payload.size()), out);
  out->append(frame.payload);
  out->push_back(static_cast<char>(kFrameEnd));
}

void FrameDecoder::Feed(std::string_view bytes) {
  // A payload handed out by Next() points into the buffer, so it is compacted here and not there.
  buffer_.erase(0, consumed_);
  consumed_ = 0;
  buffer_.append(bytes);
}

bool FrameDecoder::Next(Frame* frame, bool* resynced) {
  *resynced = false;
  while (true) {
    if (resync_) DropUntilZeros();
    if (resync_) return false;
    while (consumed_ < buffer_.size() && buffer_[consumed_] == '\0') ++consumed_;
    const std::string_view rest = std::string_view(buffer_).substr(consumed_);
    if (rest.empty()) return false;
    if (static_cast<uint8_t>(rest[0]) == kFrameMark) {
      if (rest.size() < kFrameHeaderBytes) return false;
      size_t length = 0;
      if (ReadHeader(rest, frame, &length)) {
        const size_t total = kFrameHeaderBytes + length + 1;
        if (rest.size() < total) return false;
        // A frame with a wrong end is dropped as a whole: what looks like zeros and frames in its
        // payload is not from the protocol.
        consumed_ += total;
        if (static_cast<uint8_t>(rest[total - 1]) == kFrameEnd) {
          frame->payload = rest.substr(kFrameHeaderBytes, length);
          return true;
        }
      } else {
        ++consumed_;
      }
    } else {
      ++consumed_;
    }
    Resync();
    *resynced = true;
  }
}

void FrameDecoder::Resync() {
  resync_ = true;
  zero_run_ = 0;
}

void FrameDecoder::DropUntilZeros() {
  while (consumed_ < buffer_.size()) {
    zero_run_ = buffer_[consumed_++] == '\0' ? zero_run_ + 1 : 0;
    if (zero_run_ == kResyncZeros) {
      resync_ = false;
      return;
    }
  }
}

}  // namespace msb
