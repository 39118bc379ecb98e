#include "agent/thrash_detector.h"

#include "check.h"

namespace msb::agent {
namespace {

constexpr int64_t kMiB = 1024 * 1024;
constexpr int64_t kLimit = 256 * kMiB;

// A second of a program whose own code is evicted and read again.
MemorySample Next(const MemorySample &before) {
  MemorySample sample = before;
  sample.limit_hits += 1'000;
  sample.refaulted_pages += 30'000;
  sample.major_faults += 1'000;
  sample.file_bytes = 160 * 1024;
  return sample;
}

// How many of 20 turns it takes until it is found out; 0 when it never is.
template <typename Change> int TurnsUntilFound(Change change) {
  ThrashDetector detector;
  MemorySample sample;
  for (int turn = 0; turn <= 20; ++turn) {
    if (detector.Take(sample, kLimit))
      return turn;
    sample = Next(sample);
    change(&sample, turn);
  }
  return 0;
}

TEST(ThrashingIsFoundAfterSomeTurns) {
  EXPECT(TurnsUntilFound([](MemorySample *, int) {}) == 5);
}

TEST(ThrashingHasNoPauses) {
  int64_t faults = 0;
  const auto pausing = [&](MemorySample *sample, int turn) {
    if (turn % 5 == 4)
      sample->major_faults = faults;
    faults = sample->major_faults;
  };
  EXPECT(TurnsUntilFound(pausing) == 0);
}

TEST(ReadingFilesIsNoThrashing) {
  // There is room for them.
  EXPECT(TurnsUntilFound([](MemorySample *sample, int) {
           sample->file_bytes = 8 * kMiB;
         }) == 0);
  // Read by calls, not by faults.
  EXPECT(TurnsUntilFound(
             [](MemorySample *sample, int) { sample->major_faults = 7; }) == 0);
  // Read once, not again and again.
  EXPECT(TurnsUntilFound([](MemorySample *sample, int) {
           sample->refaulted_pages = 7;
         }) == 0);
}

TEST(ThrashingReachesTheLimit) {
  ThrashDetector detector;
  MemorySample sample;
  detector.Take(sample, kLimit);
  EXPECT(!detector.at_limit());
  sample = Next(sample);
  detector.Take(sample, kLimit);
  EXPECT(detector.at_limit());
  const int64_t hits = sample.limit_hits;
  sample = Next(sample);
  sample.limit_hits = hits;
  EXPECT(!detector.Take(sample, kLimit));
  EXPECT(!detector.at_limit());
}

} // namespace
} // namespace msb::agent
