#include "agent/input_window.h"

#include "check.h"

namespace msb::agent {
namespace {

TEST(InputWindowGrantsWhatWasConsumed) {
  uint64_t consumed = 0;
  uint64_t limit = 0;
  InputWindow window([&](uint64_t now, uint64_t until) {
    consumed = now;
    limit = until;
  });
  EXPECT(window.Receive(kWindowBytes));
  EXPECT(!window.Receive(1));
  window.Consume(kWindowBytes / 4 - 1);
  EXPECT(limit == 0);
  window.Consume(1);
  EXPECT(consumed == kWindowBytes / 4 && limit == consumed + kWindowBytes);
  EXPECT(window.pending() == kWindowBytes - consumed);
  EXPECT(window.Receive(kWindowBytes / 4) && !window.Receive(1));
}

TEST(InputWindowOpensAnewAtWhatWasReceived) {
  InputWindow window([](uint64_t, uint64_t) {});
  EXPECT(window.Receive(1'000));
  window.Rewind();
  EXPECT(window.Receive(kWindowBytes) && !window.Receive(1));
  EXPECT(window.received() == kWindowBytes + 1'000);
}

} // namespace
} // namespace msb::agent
