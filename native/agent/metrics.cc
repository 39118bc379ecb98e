#include "agent/metrics.h"

#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "agent/clock.h"
#include "agent/meminfo.h"
#include "agent/proc_scan.h"
#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxFileBytes = 256 * 1024;

StatusOr<Json> ReadCpu() {
  StatusOr<std::string> stat = ReadSmallFile("/proc/stat", kMaxFileBytes);
  if (!stat.ok()) return stat.status();
  const std::string& text = stat.value();
  // user nice system idle iowait irq softirq steal
  int64_t ticks[8] = {};
  const char* next = text.c_str() + std::min<size_t>(text.size(), 4);
  for (int64_t& value : ticks) {
    char* end = nullptr;
    value = std::strtoll(next, &end, 10);
    next = end;
  }
  int64_t count = 0;
  for (size_t line = text.find("\ncpu"); line != std::string::npos;
       line = text.find("\ncpu", line + 1)) {
    ++count;
  }
  const int64_t usec_per_tick = 1'000'000 / sysconf(_SC_CLK_TCK);
  const int64_t idle = ticks[3] + ticks[4];
  const int64_t busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
  return Json(Json::Object{
      {"count", count}, {"busyUsec", busy * usec_per_tick}, {"idleUsec", idle * usec_per_tick}});
}

Json ReadMemory() {
  const int64_t total = MemoryBytes("MemTotal:");
  const int64_t available = MemoryBytes("MemAvailable:");
  return Json::Object{
      {"totalBytes", total}, {"availableBytes", available}, {"usedBytes", total - available}};
}

StatusOr<Json> ReadDisk(int upper) {
  struct statfs info;
  if (fstatfs(upper, &info) != 0) return Status::Errno("fstatfs", "upper");
  const int64_t block = info.f_bsize;
  return Json(
      Json::Object{{"totalBytes", static_cast<int64_t>(info.f_blocks) * block},
                   {"usedBytes", static_cast<int64_t>(info.f_blocks - info.f_bfree) * block},
                   {"availableBytes", static_cast<int64_t>(info.f_bavail) * block}});
}

int64_t CountProcesses() {
  int64_t count = 0;
  const pid_t self = getpid();
  ForEachProcess([&](const ProcessInfo& process) {
    if (!process.is_kernel_thread && !process.is_zombie && process.pid != self) ++count;
  });
  return count;
}

}  // namespace

StatusOr<Json::Object> ReadMetrics(int upper) {
  StatusOr<Json> cpu = ReadCpu();
  if (!cpu.ok()) return cpu.status();
  StatusOr<Json> disk = ReadDisk(upper);
  if (!disk.ok()) return disk.status();
  StatusOr<std::string> load = ReadSmallFile("/proc/loadavg", 256);
  if (!load.ok()) return load.status();
  return Json::Object{
      {"uptimeMs", MonotonicMs()},     {"cpu", std::move(cpu.value())},
      {"memory", ReadMemory()},        {"disk", std::move(disk.value())},
      {"processes", CountProcesses()}, {"load1", std::strtod(load.value().c_str(), nullptr)}};
}

}  // namespace msb::agent
