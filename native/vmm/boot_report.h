#ifndef MSB_VMM_BOOT_REPORT_H_
#define MSB_VMM_BOOT_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace msb::vmm {

// The report file never grows over this; a whole report is smaller, whatever the VM process says.
inline constexpr size_t kMaxReportFileBytes = 256 * 1024;

// Writes the report of native/README.md, one JSON line a stage, to the owner and to the file that
// is left to those who come after it. Losing the owner is no error: a detached VM outlives it.
class BootReport {
 public:
  // Neither is owned; `file_fd` is -1 when there is no file. Times are counted from
  // `started_at_micros` (MonotonicMicros).
  BootReport(int fd, int file_fd, int64_t started_at_micros)
      : fd_(fd), file_fd_(file_fd), started_at_micros_(started_at_micros) {}

  // `file_facts` go into the file only: what the owner knows already.
  void Stage(std::string_view stage, Json::Object facts = {}, Json::Object file_facts = {});
  void Failed(const Status& status, Json::Object facts = {}, Json::Object file_facts = {});

 private:
  void Keep(const std::string& line);

  int fd_;
  int file_fd_;
  int64_t started_at_micros_;
  size_t kept_bytes_ = 0;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_BOOT_REPORT_H_
