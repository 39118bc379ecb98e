#include "agent/thrash_detector.h"

#include <algorithm>

namespace msb::agent {
namespace {

// Thrashing for so many seconds in a row.
constexpr int kTurns = 5;
// With less than this share of the limit in pages of files: a program that reads large files has
// more.
constexpr int64_t kFileShare = 64;
// All of the files' pages so many times a second.
constexpr int64_t kTurnovers = 4;
constexpr int64_t kLeastFileBytes = 256 * 1024;
// Of mapped pages, as code is; reading a file by calls makes none.
constexpr int64_t kMajorFaults = 50;
constexpr int64_t kPageBytes = 4096;

bool IsThrashing(const MemorySample& before, const MemorySample& now, int64_t limit_bytes) {
  const int64_t refaulted_bytes = (now.refaulted_pages - before.refaulted_pages) * kPageBytes;
  return now.limit_hits > before.limit_hits && now.file_bytes <= limit_bytes / kFileShare &&
         now.major_faults - before.major_faults >= kMajorFaults &&
         refaulted_bytes >= kTurnovers * std::max(now.file_bytes, kLeastFileBytes);
}

}  // namespace

bool ThrashDetector::Take(const MemorySample& sample, int64_t limit_bytes) {
  at_limit_ = before_.has_value() && sample.limit_hits > before_->limit_hits;
  const bool is_thrashing = before_.has_value() && IsThrashing(*before_, sample, limit_bytes);
  turns_ = is_thrashing ? turns_ + 1 : 0;
  before_ = sample;
  return turns_ >= kTurns;
}

void ThrashDetector::Reset() { *this = {}; }

}  // namespace msb::agent
