#include "base/frame.h"

#include <cstdlib>
#include <vector>

#include "agent/small_file.h"
#include "base/json.h"
#include "check.h"

namespace msb_test {
namespace {

using msb::Channel;
using msb::Frame;
using msb::FrameDecoder;
using msb::FrameType;
using msb::Json;

struct Decoded {
  Frame frame;  // Its payload is in `payload`.
  std::string payload;
};

struct Result {
  std::vector<Decoded> frames;
  int resyncs = 0;
};

// Feeds `bytes` in pieces of `step`.
Result Decode(FrameDecoder* decoder, std::string_view bytes, size_t step) {
  Result result;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    decoder->Feed(piece);
    while (true) {
      Frame frame;
      bool resynced = false;
      const bool got = decoder->Next(&frame, &resynced);
      result.resyncs += resynced ? 1 : 0;
      if (!got) break;
      result.frames.push_back({frame, std::string(frame.payload)});
    }
  }
  return result;
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::strtol(hex.substr(i, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

Json::Array ReadFixture(const std::string& path) {
  const auto text = msb::agent::ReadSmallFile(path, 4 << 20);
  CHECK_NAMED(text.ok(), path);
  if (!text.ok()) return {};
  const auto json = Json::Parse(text.value(), 4 << 20);
  CHECK_NAMED(json.ok() && json.value().AsArray() != nullptr && !json.value().AsArray()->empty(),
              path);
  return json.ok() && json.value().AsArray() != nullptr ? *json.value().AsArray() : Json::Array();
}

std::string Encode(FrameType type, uint32_t stream, std::string_view payload,
                   Channel channel = Channel::kInput, bool end = false) {
  std::string out;
  msb::AppendFrame({type, channel, end, stream, payload}, &out);
  return out;
}

void TestGolden(const std::string& fixtures) {
  for (const Json& item : ReadFixture(fixtures + "/golden.json")) {
    const std::string name = item.GetString("name").value();
    const std::string bytes = FromHex(item.GetString("hex").value());
    const Json& expected = *item.Find("frame");
    const std::string payload = FromHex(expected.GetString("payloadHex").value());
    for (const size_t step : {bytes.size(), size_t{1}, size_t{7}}) {
      FrameDecoder decoder;
      const Result result = Decode(&decoder, bytes, step);
      CHECK_NAMED(result.resyncs == 0 && result.frames.size() == 1, name);
      if (result.frames.size() != 1) continue;
      const Decoded& got = result.frames[0];
      CHECK_NAMED(static_cast<int>(got.frame.type) == expected.GetInt("type", 0, 9).value(), name);
      CHECK_NAMED(static_cast<int>(got.frame.channel) == expected.GetInt("channel", 0, 9).value(),
                  name);
      CHECK_NAMED(got.frame.end == expected.GetBool("end").value(), name);
      CHECK_NAMED(got.frame.stream == expected.GetInt("stream", 0, msb::kMaxStream).value(), name);
      CHECK_NAMED(got.payload == payload, name);
      const std::string encoded = Encode(got.frame.type, got.frame.stream, payload,
                                         got.frame.channel, got.frame.end);
      CHECK_NAMED(bytes.substr(bytes.size() - encoded.size()) == encoded, name);
    }
  }
}

void TestBad(const std::string& fixtures) {
  const std::string good = Encode(FrameType::kControl, 0, "{}");
  for (const Json& item : ReadFixture(fixtures + "/bad.json")) {
    const std::string name = item.GetString("name").value();
    const std::string bytes = FromHex(item.GetString("hex").value());
    for (const size_t step : {bytes.size(), size_t{1}}) {
      FrameDecoder decoder;
      const Result bad = Decode(&decoder, bytes, step);
      CHECK_NAMED(bad.frames.empty() && bad.resyncs == 1, name);
      CHECK_NAMED(Decode(&decoder, good, step).frames.empty(), name);
      const Result after = Decode(&decoder, std::string(16, '\0') + good, step);
      CHECK_NAMED(after.frames.size() == 1 && after.resyncs == 0, name);
    }
  }
}

// Wherever a connection broke off, the zeros of the next one bring the decoder back.
void TestReconnect() {
  const std::string padding(65600, '\0');
  const std::string good = Encode(FrameType::kControl, 0, "{}");
  for (const size_t length : {size_t{0}, size_t{20}, msb::kMaxPayloadBytes}) {
    const std::string broken = Encode(FrameType::kData, 1, std::string(length, 'x'));
    for (size_t cut = 0; cut < broken.size(); cut += cut < 40 ? 1 : 5001) {
      FrameDecoder decoder;
      const Result result = Decode(&decoder, broken.substr(0, cut) + padding + good, 4096);
      CHECK_NAMED(result.frames.size() == 1 && result.frames[0].payload == "{}",
                  "cut at " + std::to_string(cut));
    }
  }
}

void TestLimits() {
  const std::string longest(msb::kMaxPayloadBytes, '\xb5');
  FrameDecoder decoder;
  const Result result = Decode(&decoder, Encode(FrameType::kData, 1, longest), 999);
  CHECK(result.frames.size() == 1 && result.frames[0].payload == longest);
  for (const size_t length : {15, 17}) {
    FrameDecoder credit;
    CHECK(Decode(&credit, Encode(FrameType::kCredit, 1, std::string(length, '\0')), 64).resyncs ==
          1);
  }
  FrameDecoder told;
  told.Resync();
  CHECK(Decode(&told, Encode(FrameType::kControl, 0, "{}"), 64).frames.empty());
}

}  // namespace

void TestFrames(const std::string& fixtures) {
  TestGolden(fixtures);
  TestBad(fixtures);
  TestReconnect();
  TestLimits();
}

}  // namespace msb_test
