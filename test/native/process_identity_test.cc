#include "base/process_identity.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "check.h"

namespace msb {
namespace {

TEST(AProcessHasOneStartTimeAllItsLife) {
  const StatusOr<std::string> first = ProcessStartTime(getpid());
  const StatusOr<std::string> second = ProcessStartTime(getpid());
  EXPECT(first.ok() && second.ok());
  EXPECT(first.ok() && second.ok() && first.value() == second.value());
  EXPECT(first.ok() && !first.value().empty() &&
         first.value().find(' ') == std::string::npos);
  const StatusOr<std::string> parent = ProcessStartTime(getppid());
  EXPECT(parent.ok() && first.ok() && parent.value() != first.value());
}

TEST(AProcessThatOnlyWaitsToBeReapedIsGone) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  EXPECT(ProcessStartTime(child).ok());
  kill(child, SIGKILL);
  siginfo_t info = {};
  // Ended, and left as a zombie.
  EXPECT(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) ==
         0);
  const StatusOr<std::string> zombie = ProcessStartTime(child);
  EXPECT(!zombie.ok() && zombie.status().error_number() == ESRCH);
  EXPECT(waitpid(child, nullptr, 0) == child);
  const StatusOr<std::string> gone = ProcessStartTime(child);
  EXPECT(!gone.ok() && gone.status().error_number() == ESRCH);
}

TEST(NoProcessHasANumberBelowOne) {
  for (const pid_t pid : {0, -1}) {
    const StatusOr<std::string> none = ProcessStartTime(pid);
    EXPECT(!none.ok() && none.status().error_number() == ESRCH);
  }
}

} // namespace
} // namespace msb
