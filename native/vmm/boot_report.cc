#include "vmm/boot_report.h"

#include <string>
#include <utility>

#include "base/fd_util.h"

namespace msb::vmm {

void BootReport::Stage(std::string_view stage, Json::Object facts, Json::Object file_facts) {
  const int64_t tenths = (MonotonicMicros() - started_at_micros_) / 100;
  facts["stage"] = Json(stage);
  facts["atMs"] = Json(static_cast<double>(tenths) / 10);
  const Json::Object told = facts;
  if (file_fd_ >= 0) {
    facts.merge(std::move(file_facts));
    Keep(Json(std::move(facts)).Serialize() + "\n");
  }
  // After the file: whoever sees the report's end finds it there, too.
  const Status lost_reader = WriteAll(fd_, Json(told).Serialize() + "\n");
  (void)lost_reader;
}

void BootReport::Failed(const Status& status, Json::Object facts, Json::Object file_facts) {
  facts["step"] = Json(status.operation());
  facts["errno"] = Json(status.error_number());
  facts["message"] = Json(status.message());
  Stage("failed", std::move(facts), std::move(file_facts));
}

void BootReport::Keep(const std::string& line) {
  if (kept_bytes_ + line.size() > kMaxReportFileBytes) return;
  kept_bytes_ += line.size();
  // A full disk takes nothing from the owner.
  const Status lost = WriteAll(file_fd_, line);
  (void)lost;
}

}  // namespace msb::vmm
