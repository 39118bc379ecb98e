#include "vmm/boot_report.h"

#include <string>
#include <utility>

#include "base/fd_util.h"

namespace msb::vmm {

void BootReport::Stage(std::string_view stage, Json::Object facts) const {
  const int64_t tenths = (MonotonicMicros() - started_at_micros_) / 100;
  facts["stage"] = Json(stage);
  facts["atMs"] = Json(static_cast<double>(tenths) / 10);
  // One write a line: two processes may share the pipe.
  const Status lost_reader = WriteAll(fd_, Json(std::move(facts)).Serialize() + "\n");
  (void)lost_reader;
}

void BootReport::Failed(const Status& status, Json::Object facts) const {
  facts["step"] = Json(status.operation());
  facts["errno"] = Json(status.error_number());
  facts["message"] = Json(status.message());
  Stage("failed", std::move(facts));
}

}  // namespace msb::vmm
