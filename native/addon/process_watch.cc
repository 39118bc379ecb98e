#include "addon/process_watch.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/fd_util.h"
#include "base/process_identity.h"

#ifdef __linux__
#include <sys/syscall.h>
#else
#include <sys/event.h>
#endif

namespace msb::addon {
namespace {

// A descriptor that becomes readable with the end of the process.
StatusOr<UniqueFd> OpenEnd(pid_t pid) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  UniqueFd end(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!end.valid()) return Status::Errno("pidfd_open", "cannot watch the supervisor");
  return end;
#elif defined(__linux__)
  return Status::Error("pidfd_open", ENOSYS, "built for a Linux that is older than 5.3");
#else
  UniqueFd end(kqueue());
  if (!end.valid()) return Status::Errno("kqueue", "cannot watch the supervisor");
  MSB_RETURN_IF_ERROR(SetCloseOnExec(end.get(), true));
  struct kevent change;
  EV_SET(&change, static_cast<uintptr_t>(pid), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  if (RetryOnEintr([&] { return kevent(end.get(), &change, 1, nullptr, 0, nullptr); }) != 0) {
    return Status::Errno("kevent", "cannot watch the supervisor");
  }
  return end;
#endif
}

// False when it is gone.
StatusOr<bool> IsStill(pid_t pid, const std::string& start_time) {
  StatusOr<std::string> found = ProcessStartTime(pid);
  if (found.ok()) return found.value() == start_time;
  if (found.status().error_number() == ESRCH) return false;
  return found.status();
}

}  // namespace

StatusOr<std::optional<VmmProcess>> OpenVmm(pid_t pid, const std::string& start_time) {
  StatusOr<bool> is_still = IsStill(pid, start_time);
  if (!is_still.ok()) return is_still.status();
  if (!is_still.value()) return std::optional<VmmProcess>();
  StatusOr<UniqueFd> end = OpenEnd(pid);
  if (!end.ok()) {
    if (end.status().error_number() == ESRCH) return std::optional<VmmProcess>();
    return end.status();
  }
  // What was opened may be a later process with the same number; if it is the right one now, it was
  // the right one when it was opened.
  is_still = IsStill(pid, start_time);
  if (!is_still.ok()) return is_still.status();
  if (!is_still.value()) return std::optional<VmmProcess>();
  VmmProcess process;
  process.pid = pid;
  process.is_child = false;
  process.start_time = start_time;
  process.pidfd = std::move(end.value());
  return std::optional<VmmProcess>(std::move(process));
}

}  // namespace msb::addon
