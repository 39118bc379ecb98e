#include "base/frame.h"

#include <cstdio>
#include <string>
#include <vector>

#include "agent/encoding.h"
#include "base/json.h"
#include "check.h"

namespace msb {
namespace {

struct OwnedFrame {
  FrameType type;
  Channel channel;
  bool end;
  uint32_t stream;
  std::string payload;
};

Json::Array ReadFixture(const char *name) {
  const std::string path = test::FixtureFolder() + "/" + name;
  std::string text;
  if (FILE *file = std::fopen(path.c_str(), "rb")) {
    char buffer[4096];
    while (const size_t count = std::fread(buffer, 1, sizeof(buffer), file)) {
      text.append(buffer, count);
    }
    std::fclose(file);
  }
  const StatusOr<Json> json = Json::Parse(text, 1024 * 1024);
  EXPECT_FOR(path, json.ok() && json.value().AsArray() != nullptr);
  if (!json.ok() || json.value().AsArray() == nullptr)
    return {};
  EXPECT_FOR(path, !json.value().AsArray()->empty());
  return *json.value().AsArray();
}

std::string Bytes(const Json &fixture, const char *key) {
  std::string bytes;
  const StatusOr<std::string> hex = fixture.GetString(key);
  EXPECT(hex.ok() && agent::DecodeHex(hex.value(), &bytes));
  return bytes;
}

OwnedFrame Expected(const Json &fixture) {
  const Json &frame = *fixture.Find("frame");
  const std::string type = frame.GetString("type").value();
  const Json &payload = *frame.Find("payload");
  return {type == "control" ? FrameType::kControl
          : type == "data"  ? FrameType::kData
                            : FrameType::kCredit,
          static_cast<Channel>(frame.GetInt("channel", 0, 3).value()),
          frame.GetBool("end").value(),
          static_cast<uint32_t>(frame.GetInt("stream", 0, kMaxStream).value()),
          payload.Find("utf8") != nullptr ? payload.GetString("utf8").value()
                                          : Bytes(payload, "hex")};
}

bool Same(const OwnedFrame &a, const OwnedFrame &b) {
  return a.type == b.type && a.channel == b.channel && a.end == b.end &&
         a.stream == b.stream && a.payload == b.payload;
}

// Feeds `bytes` in pieces of `step` and returns all frames.
std::vector<OwnedFrame> Decode(FrameDecoder *decoder, std::string_view bytes,
                               size_t step, bool *resynced) {
  std::vector<OwnedFrame> frames;
  *resynced = false;
  for (size_t offset = 0; offset < bytes.size(); offset += step) {
    decoder->Feed(bytes.substr(offset, step));
    Frame frame;
    bool error = false;
    while (decoder->Next(&frame, &error)) {
      *resynced = *resynced || error;
      frames.push_back({frame.type, frame.channel, frame.end, frame.stream,
                        std::string(frame.payload)});
    }
    *resynced = *resynced || error;
  }
  return frames;
}

std::string Encode(const OwnedFrame &frame) {
  std::string bytes;
  AppendFrame(
      {frame.type, frame.channel, frame.end, frame.stream, frame.payload},
      &bytes);
  return bytes;
}

const OwnedFrame kPing = {FrameType::kControl, Channel::kInput, false, 0,
                          "{\"type\":\"ping\"}"};

TEST(GoldenFramesAreReadAndWritten) {
  std::string all;
  size_t count = 0;
  for (const Json &fixture : ReadFixture("golden.json")) {
    const std::string name = fixture.GetString("name").value();
    const std::string bytes = Bytes(fixture, "hex");
    const OwnedFrame expected = Expected(fixture);
    for (const size_t step : {size_t{1}, size_t{5}, bytes.size()}) {
      FrameDecoder decoder;
      bool resynced = false;
      const std::vector<OwnedFrame> frames =
          Decode(&decoder, bytes, step, &resynced);
      EXPECT_FOR(name, !resynced);
      EXPECT_FOR(name, frames.size() == 1 && Same(frames[0], expected));
    }
    EXPECT_FOR(name, bytes.ends_with(Encode(expected)));
    all += bytes;
    ++count;
  }
  FrameDecoder decoder;
  bool resynced = false;
  EXPECT(Decode(&decoder, all, 7, &resynced).size() == count);
  EXPECT(!resynced);
}

TEST(BadFramesAreDroppedUntilZerosCome) {
  for (const Json &fixture : ReadFixture("bad.json")) {
    const std::string name = fixture.GetString("name").value();
    const std::string bytes = Bytes(fixture, "hex");
    // 13 bytes make a short frame whole, so that its end byte is read.
    for (const std::string &more : {std::string(), std::string(13, 'x')}) {
      FrameDecoder decoder;
      bool resynced = false;
      std::vector<OwnedFrame> frames =
          Decode(&decoder, bytes + more, 3, &resynced);
      EXPECT_FOR(name, resynced && frames.empty());
      EXPECT_FOR(name, Decode(&decoder, Encode(kPing), 100, &resynced).empty());
      const std::string fifteen = "x" + std::string(15, '\0') + Encode(kPing);
      EXPECT_FOR(name, Decode(&decoder, fifteen, 100, &resynced).empty());
      frames = Decode(&decoder, "x" + std::string(16, '\0') + Encode(kPing),
                      100, &resynced);
      EXPECT_FOR(name, frames.size() == 1 && Same(frames[0], kPing));
    }
  }
}

TEST(CreditFramesHaveTwoNumbers) {
  for (const size_t size : {size_t{0}, size_t{15}, size_t{17}}) {
    FrameDecoder decoder;
    bool resynced = false;
    const std::string bytes = Encode({FrameType::kCredit, Channel::kInput,
                                      false, 1, std::string(size, 'x')});
    EXPECT(Decode(&decoder, bytes, 100, &resynced).empty());
    EXPECT(resynced);
  }
}

TEST(LargestPayloadIsRead) {
  const OwnedFrame big = {FrameType::kData, Channel::kStdout, true, kMaxStream,
                          std::string(kMaxPayloadBytes, 'x')};
  FrameDecoder decoder;
  bool resynced = false;
  const std::vector<OwnedFrame> frames =
      Decode(&decoder, Encode(big), 4096, &resynced);
  EXPECT(!resynced && frames.size() == 1 && Same(frames[0], big));
}

// The zeros that a host sends first on a new connection, PROTOCOL.md section 2.
TEST(PaddingEndsAnyCutFrame) {
  const OwnedFrame big = {FrameType::kData, Channel::kInput, false, 5,
                          std::string(65'536, 'y')};
  for (const std::string &whole : {Encode(kPing), Encode(big)}) {
    for (size_t cut = 0; cut < whole.size();
         cut = cut < 64 ? cut + 1 : cut * 2 + 1) {
      FrameDecoder decoder;
      bool resynced = false;
      const std::string bytes =
          whole.substr(0, cut) + std::string(65'600, '\0') + Encode(kPing);
      const std::vector<OwnedFrame> frames =
          Decode(&decoder, bytes, 8192, &resynced);
      EXPECT_FOR(std::to_string(cut),
                 frames.size() == 1 && Same(frames[0], kPing));
      EXPECT_FOR(std::to_string(cut), resynced == (cut > 0));
    }
  }
}

TEST(PayloadOfADroppedFrameIsNotRead) {
  std::string forged =
      Encode({FrameType::kData, Channel::kInput, false, 5,
              std::string(20, '\0') + Encode(kPing) + std::string(20, '\0')});
  forged.back() = 'x';
  FrameDecoder decoder;
  bool resynced = false;
  EXPECT(Decode(&decoder, forged, 1000, &resynced).empty());
  EXPECT(resynced);
}

// Any bytes: no frame may break its own limits, and the decoder must come back.
TEST(RandomBytesDoNoHarm) {
  uint32_t state = 12345;
  const auto random = [&state] {
    state = state * 1664525 + 1013904223;
    return state >> 16;
  };
  const unsigned char likely[] = {0xb5, 0x5b, 0, 1, 2, 3, 16};
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (uint32_t i = random() % 2000; i > 0; --i) {
      bytes.push_back(
          static_cast<char>(random() % 2 ? likely[random() % 7] : random()));
    }
    FrameDecoder decoder;
    bool resynced = false;
    for (const OwnedFrame &frame :
         Decode(&decoder, bytes, 1 + random() % 300, &resynced)) {
      EXPECT(frame.payload.size() <= kMaxPayloadBytes &&
             frame.stream <= kMaxStream);
    }
    const std::vector<OwnedFrame> frames = Decode(
        &decoder, std::string(65'600, '\0') + Encode(kPing), 65'536, &resynced);
    EXPECT(!frames.empty() && Same(frames.back(), kPing));
  }
}

} // namespace
} // namespace msb
