#ifndef MSB_ADDON_VMM_SPAWN_H_
#define MSB_ADDON_VMM_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::addon {

struct ChannelSocket {
  std::string name;
  std::string path;
};

struct VmmRequest {
  std::string vmm_path;
  // The JSON of native/README.md; checked here.
  std::string config;
  // Must have the names of the config's channels, in its order.
  std::vector<ChannelSocket> channels;
  // Open files that the VM process inherits, in the order of its config; they stay the caller's.
  std::vector<int> files;
  bool detached = false;
  // Where the supervisor also keeps its report, for those who come later; empty for nowhere.
  std::string report_path;
};

// A running msb-vmm.
struct VmmProcess {
  pid_t pid = -1;
  // False when another process has started it: then its exit status is not for us.
  bool is_child = true;
  // What ProcessStartTime says of it; only of what is no child.
  std::string start_time;
  // Becomes readable with its end. On Linux a pidfd, which refers to exactly this process even
  // after that; on macOS a kqueue, for what is no child. Invalid where there is neither.
  UniqueFd pidfd;
  // Read end of the report.
  UniqueFd report;
  // As long as it is open the VM has an owner; invalid when detached.
  UniqueFd lifeline;
};

// Starts msb-vmm with the descriptors it expects, no environment and its own session. The channels'
// sockets exist and accept connections when this returns. On failure no file and no process is
// left.
StatusOr<VmmProcess> SpawnVmm(const VmmRequest& request);

}  // namespace msb::addon

#endif  // MSB_ADDON_VMM_SPAWN_H_
