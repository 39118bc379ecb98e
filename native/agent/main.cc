// msb-agent: PID 1 of the guest. Serves the protocol of src/agent/PROTOCOL.md and never exits.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "agent/agent.h"
#include "agent/clock.h"
#include "agent/guest_init.h"
#include "agent/port.h"
#include "agent/shutdown.h"
#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr char kPortName[] = "msb-agent";
constexpr int64_t kPortTimeoutMs = 10'000;
// 256 execs with four descriptors each; programs inherit it.
constexpr rlim_t kSoftFileLimit = 65'536;
constexpr rlim_t kHardFileLimit = 1'048'576;

// Returns only what makes it impossible to go on.
Status Run() {
  Timings timings(MonotonicUsec());
  umask(0);
  signal(SIGPIPE, SIG_IGN);
  const rlimit files = {kSoftFileLimit, kHardFileLimit};
  setrlimit(RLIMIT_NOFILE, &files);
  MSB_RETURN_IF_ERROR(MountEarly());
  (void)WriteSmallFile("/proc/self/oom_score_adj", "-1000");
  timings.Mark("mounted");
  // The first sign of life: the port is silent until a host says hello, and the kernel is told to
  // be quiet.
  std::fprintf(stderr, "msb-agent: started\n");
  StatusOr<UniqueFd> port = OpenPort(kPortName, kPortTimeoutMs);
  if (!port.ok()) return port.status();
  timings.Mark("port");
  Agent agent(timings);
  return agent.Serve(std::move(port.value()));
}

}  // namespace
}  // namespace msb::agent

int main() {
  if (getpid() != 1) {
    std::fprintf(stderr, "msb-agent: it must be PID 1 of a microVM\n");
    return 1;
  }
  const msb::Status status = msb::agent::Run();
  std::fprintf(stderr, "msb-agent: %s: %s\n", status.operation().c_str(), status.message().c_str());
  msb::agent::Restart();
}
