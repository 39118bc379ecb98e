#include "base/process_identity.h"

#include <fcntl.h>

#include <cerrno>
#include <sstream>

#include "base/fd_util.h"
#include "base/unique_fd.h"

#ifdef __APPLE__
#include <libproc.h>
#include <sys/proc.h>
#endif

namespace msb {
namespace {

Status NoSuchProcess(pid_t pid) {
  return Status::Error("start time", ESRCH, "there is no process " + std::to_string(pid));
}

#ifdef __linux__

constexpr size_t kMaxProcFileBytes = 8192;
// Of the boot's random id; the start time does the rest.
constexpr size_t kBootIdLength = 8;

StatusOr<std::string> ReadProcFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Status::Errno("open", path);
  return ReadToEnd(file.get(), kMaxProcFileBytes);
}

#endif

}  // namespace

#ifdef __linux__

StatusOr<std::string> ProcessStartTime(pid_t pid) {
  if (pid <= 0) return NoSuchProcess(pid);
  StatusOr<std::string> stat = ReadProcFile("/proc/" + std::to_string(pid) + "/stat");
  // The process may end between opening and reading, too.
  if (!stat.ok()) {
    const int error_number = stat.status().error_number();
    return error_number == ENOENT || error_number == ESRCH ? NoSuchProcess(pid) : stat.status();
  }
  // proc_pid_stat(5): the name in parentheses may hold anything; then come the fields from 3 on.
  const size_t name_end = stat.value().rfind(')');
  if (name_end == std::string::npos) return NoSuchProcess(pid);
  std::istringstream fields(stat.value().substr(name_end + 1));
  std::string state, field;
  fields >> state;
  if (state == "Z" || state == "X") return NoSuchProcess(pid);
  constexpr int kStartTimeField = 22;
  for (int i = 4; i <= kStartTimeField; ++i) fields >> field;
  if (!fields) return Status::Error("start time", EPROTO, "/proc/<pid>/stat has too few fields");
  StatusOr<std::string> boot_id = ReadProcFile("/proc/sys/kernel/random/boot_id");
  return field + "@" + (boot_id.ok() ? boot_id.value().substr(0, kBootIdLength) : "");
}

#elif defined(__APPLE__)

StatusOr<std::string> ProcessStartTime(pid_t pid) {
  proc_bsdinfo info = {};
  const int size = proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof info);
  if (size != static_cast<int>(sizeof info) || info.pbi_status == SZOMB) return NoSuchProcess(pid);
  return std::to_string(info.pbi_start_tvsec) + "." + std::to_string(info.pbi_start_tvusec);
}

#else
#error "unknown system"
#endif

}  // namespace msb
