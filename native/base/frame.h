#ifndef MSB_BASE_FRAME_H_
#define MSB_BASE_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace msb {

// The frames of src/agent/PROTOCOL.md, section 1.
enum class FrameType : uint8_t { kControl = 1, kData = 2, kCredit = 3 };
enum class Channel : uint8_t { kInput = 0, kStdout = 1, kStderr = 2, kControl = 3 };

struct Frame {
  FrameType type = FrameType::kControl;
  Channel channel = Channel::kInput;
  bool end = false;
  uint32_t stream = 0;
  std::string_view payload;
};

inline constexpr uint8_t kFrameMark = 0xB5;
inline constexpr uint8_t kFrameEnd = 0x5B;
inline constexpr size_t kFrameHeaderBytes = 12;
inline constexpr size_t kMaxPayloadBytes = 65536;
inline constexpr uint32_t kMaxStream = 0x7fffffff;

// Appends the encoded frame to `out`. The payload must be at most kMaxPayloadBytes.
void AppendFrame(const Frame& frame, std::string* out);

// Incremental decoder of the guest side. Feed() takes bytes as they come; Next() gives frames. A
// framing error switches to resync: bytes are dropped until 16 zero bytes in a row were seen
// (PROTOCOL.md, section 2).
class FrameDecoder {
 public:
  void Feed(std::string_view bytes);
  // The next whole frame, whose payload is valid until the next call to Feed or Next; false when
  // more bytes are needed. `*resynced` is set when a framing error was met since the last call.
  bool Next(Frame* frame, bool* resynced);
  // What comes is of no use until the sender begins anew: go to resync.
  void Resync();

 private:
  void DropUntilZeros();
  std::string buffer_;
  size_t consumed_ = 0;
  size_t zero_run_ = 0;
  bool resync_ = false;
};

}  // namespace msb

#endif  // MSB_BASE_FRAME_H_
