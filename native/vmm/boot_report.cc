#include "vmm/boot_report.h"

#include <ctime>

#include "base/fd_ops.h"

namespace msb::vmm {
namespace {

constexpr size_t kMaxMessageBytes = 1024;

}  // namespace

double MonotonicMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

BootReport::BootReport(int fd) : fd_(fd), started_ms_(MonotonicMs()) {}

void BootReport::Stage(const char* stage, Json::Object fields) const {
  fields["stage"] = Json(stage);
  fields["atMs"] = Json(MonotonicMs() - started_ms_);
  std::string line = Json(std::move(fields)).Serialize();
  line += '\n';
  (void)WriteRetry(fd_, line.data(), line.size());
}

void BootReport::Failed(const Status& status) const {
  Stage("failed", {{"step", Json(status.operation())},
                   {"errno", Json(status.error_number())},
                   {"message", Json(status.message().substr(0, kMaxMessageBytes))}});
}

}  // namespace msb::vmm
