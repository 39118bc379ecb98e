#include "vmm/boot_report.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/fd_util.h"
#include "check.h"

namespace msb::vmm {
namespace {

UniqueFd MakeFile() { return UniqueFd(memfd_create("report", MFD_CLOEXEC)); }

std::string ContentOf(const UniqueFd &file) {
  if (lseek(file.get(), 0, SEEK_SET) != 0)
    return "";
  StatusOr<std::string> content =
      ReadToEnd(file.get(), 16 * kMaxReportFileBytes);
  return content.ok() ? content.value() : "";
}

size_t LinesIn(const std::string &text) {
  size_t lines = 0;
  for (const char c : text)
    lines += c == '\n';
  return lines;
}

TEST(AReportTellsItsFileWhatItsOwnerKnows) {
  const UniqueFd owner = MakeFile(), file = MakeFile();
  BootReport report(owner.get(), file.get(), MonotonicMicros());
  report.Stage("configured", {{"a", Json(1)}}, {{"driver", Json("qemu")}});
  report.Failed(Status::Error("open", 2, "no disk"), {},
                {{"consoleTail", Json("bye")}});
  const std::string told = ContentOf(owner), kept = ContentOf(file);
  EXPECT(LinesIn(told) == 2 && LinesIn(kept) == 2);
  EXPECT(told.find("driver") == std::string::npos &&
         told.find("bye") == std::string::npos);
  EXPECT(kept.find("\"driver\":\"qemu\"") != std::string::npos);
  EXPECT(kept.find("\"a\":1") != std::string::npos &&
         told.find("\"a\":1") != std::string::npos);
  EXPECT(kept.find("\"consoleTail\":\"bye\"") != std::string::npos);
  EXPECT(told.find("\"step\":\"open\"") != std::string::npos);
}

TEST(AReportFileDoesNotGrowOverItsLimit) {
  const UniqueFd owner = MakeFile(), file = MakeFile();
  BootReport report(owner.get(), file.get(), MonotonicMicros());
  constexpr size_t kLines = 100;
  const std::string long_text(10'000, 'x');
  for (size_t i = 0; i < kLines; ++i)
    report.Stage("alive", {{"text", Json(long_text)}});
  const std::string kept = ContentOf(file);
  EXPECT(kept.size() <= kMaxReportFileBytes);
  EXPECT(kept.size() > kMaxReportFileBytes - 2 * long_text.size());
  // Never half a line; the owner hears all of them.
  EXPECT(!kept.empty() && kept.back() == '\n');
  EXPECT(LinesIn(ContentOf(owner)) == kLines);
}

TEST(AReportNeedsNoFileAndNoOwner) {
  const UniqueFd owner = MakeFile(), file = MakeFile();
  BootReport(owner.get(), -1, MonotonicMicros())
      .Stage("sanitized", {}, {{"pid", Json(1)}});
  EXPECT(LinesIn(ContentOf(owner)) == 1);
  BootReport(-1, file.get(), MonotonicMicros()).Stage("sanitized");
  EXPECT(LinesIn(ContentOf(file)) == 1);
}

} // namespace
} // namespace msb::vmm
