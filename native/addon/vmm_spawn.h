#ifndef MSB_ADDON_VMM_SPAWN_H_
#define MSB_ADDON_VMM_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb {

struct VmmSpawnOptions {
  std::string vmm_path;
  std::string config;
  // The socket of each channel, in the order of the config's `channels`.
  std::vector<std::string> socket_paths;
  bool detached = false;
};

struct SpawnedVmm {
  pid_t pid = -1;
  UniqueFd report;
  // Closing it ends the VM; invalid when detached.
  UniqueFd lifeline;
};

// Starts msb-vmm with the descriptors of native/README.md, an empty environment and nothing else.
// On failure no socket is left behind.
StatusOr<SpawnedVmm> SpawnVmm(const VmmSpawnOptions& options);

}  // namespace msb

#endif  // MSB_ADDON_VMM_SPAWN_H_
