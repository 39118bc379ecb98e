#ifndef MSB_VMM_BOOT_REPORT_H_
#define MSB_VMM_BOOT_REPORT_H_

#include "base/json.h"
#include "base/status.h"

namespace msb::vmm {

// The report of native/README.md: one JSON line a stage. Lines are shorter than PIPE_BUF, so that
// the supervisor and the VM process can share the pipe. A reader that is gone or does not read
// loses lines; the VM goes on.
class BootReport {
 public:
  // Takes times from now on. Copies share the descriptor, which is not owned.
  explicit BootReport(int fd);

  void Stage(const char* stage, Json::Object fields = {}) const;
  void Failed(const Status& status) const;
  int fd() const { return fd_; }
  void set_fd(int fd) { fd_ = fd; }

 private:
  int fd_;
  double started_ms_;
};

// CLOCK_MONOTONIC in milliseconds.
double MonotonicMs();

}  // namespace msb::vmm

#endif  // MSB_VMM_BOOT_REPORT_H_
