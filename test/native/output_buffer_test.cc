#include "agent/output_buffer.h"

#include "agent/messages.h"
#include "check.h"

namespace msb::agent {
namespace {

bool Is(const OutputBuffer::Piece &piece, Channel channel,
        std::string_view bytes) {
  return piece.channel == channel && piece.bytes == bytes;
}

TEST(OutputKeepsOrderAndChannel) {
  OutputBuffer buffer;
  buffer.Append(Channel::kStdout, "ab");
  buffer.Append(Channel::kStdout, "cd");
  buffer.Append(Channel::kStderr, "E");
  buffer.Append(Channel::kStderr, "");
  buffer.Append(Channel::kStdout, "fg");
  EXPECT(buffer.end() == 7);
  EXPECT(Is(buffer.At(0, 99), Channel::kStdout, "abcd"));
  EXPECT(Is(buffer.At(1, 2), Channel::kStdout, "bc"));
  EXPECT(Is(buffer.At(4, 99), Channel::kStderr, "E"));
  EXPECT(Is(buffer.At(6, 99), Channel::kStdout, "g"));
  EXPECT(buffer.At(7, 99).bytes.empty());
  buffer.Release(5);
  EXPECT(buffer.start() == 5 && buffer.end() == 7);
  EXPECT(buffer.At(4, 99).bytes.empty());
  EXPECT(Is(buffer.At(5, 99), Channel::kStdout, "fg"));
  buffer.Release(2);
  EXPECT(buffer.start() == 5);
  buffer.Release(7);
  EXPECT(buffer.room() == kWindowBytes);
  buffer.Append(Channel::kStderr, "h");
  EXPECT(Is(buffer.At(7, 99), Channel::kStderr, "h"));
}

// What is read back from any offset must be what was written, whatever was
// released.
TEST(OutputSurvivesManySmallReleases) {
  OutputBuffer buffer;
  uint64_t written = 0;
  uint64_t read = 0;
  const auto byte_at = [](uint64_t offset) {
    return static_cast<char>(offset * 131 >> 3);
  };
  while (read < 3 * kWindowBytes) {
    while (buffer.room() > 0 && written < read + 5'000) {
      const char byte = byte_at(written);
      buffer.Append(written % 3 == 0 ? Channel::kStderr : Channel::kStdout,
                    {&byte, 1});
      ++written;
    }
    const OutputBuffer::Piece piece = buffer.At(read, 1'000);
    EXPECT(!piece.bytes.empty());
    for (const char byte : piece.bytes) {
      EXPECT(byte == byte_at(read));
      EXPECT((piece.channel == Channel::kStderr) == (read % 3 == 0));
      ++read;
    }
    buffer.Release(read);
  }
}

TEST(OutputIsFullAtTheWindow) {
  OutputBuffer buffer;
  buffer.Append(Channel::kStdout, std::string(kWindowBytes, 'x'));
  EXPECT(buffer.room() == 0);
  buffer.Release(10);
  EXPECT(buffer.room() == 10);
}

} // namespace
} // namespace msb::agent
