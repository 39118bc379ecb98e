#ifndef MSB_VMM_BOOT_REPORT_H_
#define MSB_VMM_BOOT_REPORT_H_

#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace msb::vmm {

// Writes the report of native/README.md, one JSON line a stage. Losing the reader is no error: a
// detached VM outlives it.
class BootReport {
 public:
  // `fd` is not owned. Times are counted from `started_at_micros` (MonotonicMicros).
  BootReport(int fd, int64_t started_at_micros) : fd_(fd), started_at_micros_(started_at_micros) {}

  void Stage(std::string_view stage, Json::Object facts = {}) const;
  void Failed(const Status& status, Json::Object facts = {}) const;

 private:
  int fd_;
  int64_t started_at_micros_;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_BOOT_REPORT_H_
