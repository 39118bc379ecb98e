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
  bool detached = false;
};

// A running msb-vmm.
struct VmmProcess {
  pid_t pid = -1;
  // Refers to exactly this process even after its end; invalid where the kernel has none.
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
