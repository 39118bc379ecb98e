#include "agent/memory_guard.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr int64_t kTurnMs = 1'000;
// The word for it is "max".
constexpr int64_t kNoLimit = 0;
constexpr int64_t kSlackBytes = 2 * 1024 * 1024;
constexpr size_t kMaxFileBytes = 16 * 1024;

}  // namespace

Status MemoryGuard::Start(std::string directory) {
  directory_ = std::move(directory);
  events_.Reset(open((directory_ + "/memory.events").c_str(), O_RDONLY | O_CLOEXEC));
  if (!events_.valid()) return Status::Errno("open", "memory.events");
  return loop_->Add(
      events_.get(), EPOLLPRI, [this](uint32_t) { OnLimitReached(); }, &watch_);
}

// From here on it is looked at by the clock: what thrashes reaches the limit a thousand times a
// second.
void MemoryGuard::OnLimitReached() {
  watch_.SetEvents(0);
  detector_.Reset();
  const std::optional<MemorySample> sample = Sample();
  if (sample.has_value()) detector_.Take(*sample, 0);
  timer_.Start(kTurnMs, [this] { Look(); });
}

void MemoryGuard::Look() {
  const std::optional<MemorySample> sample = Sample();
  const int64_t limit = ReadNumber(directory_ + "/memory.max", kNoLimit);
  if (sample.has_value() && limit != kNoLimit && detector_.Take(*sample, limit)) {
    detector_.Reset();
    LetKernelKill(*sample, limit);
  } else if (!detector_.at_limit()) {
    return Rest();
  }
  timer_.Start(kTurnMs, [this] { Look(); });
}

// Until the limit is reached again.
void MemoryGuard::Rest() {
  char text[256];
  // What has happened so far wakes nobody then.
  (void)!pread(events_.get(), text, sizeof(text), 0);
  watch_.SetEvents(EPOLLPRI);
}

std::optional<MemorySample> MemoryGuard::Sample() const {
  const StatusOr<std::string> events = ReadSmallFile(directory_ + "/memory.events", kMaxFileBytes);
  const StatusOr<std::string> stat = ReadSmallFile(directory_ + "/memory.stat", kMaxFileBytes);
  if (!events.ok() || !stat.ok()) return std::nullopt;
  return MemorySample{
      .limit_hits = NumberOf(events.value(), "max"),
      .refaulted_pages = NumberOf(stat.value(), "workingset_refault_file"),
      .major_faults = NumberOf(stat.value(), "pgmajfault"),
      .file_bytes = NumberOf(stat.value(), "file"),
      .reclaimable_slab_bytes = NumberOf(stat.value(), "slab_reclaimable"),
  };
}

// With a limit below all that can be evicted, no page that is read again finds room any more, and
// when none is left to evict the kernel kills as it does for want of memory: the largest program,
// which is counted in its cgroup. The write returns after that.
void MemoryGuard::LetKernelKill(const MemorySample& sample, int64_t limit_bytes) {
  const int64_t current = ReadNumber(directory_ + "/memory.current", 0);
  const int64_t spare = sample.file_bytes + sample.reclaimable_slab_bytes + kSlackBytes;
  if (current <= spare) return;
  const std::string limit = directory_ + "/memory.max";
  (void)WriteSmallFile(limit, std::to_string(current - spare));
  (void)WriteSmallFile(limit, std::to_string(limit_bytes));
}

}  // namespace msb::agent
