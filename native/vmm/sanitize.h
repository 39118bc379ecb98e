#ifndef MSB_VMM_SANITIZE_H_
#define MSB_VMM_SANITIZE_H_

#include <vector>

#include "base/status.h"
#include "krun/vm_config.h"

namespace msb::vmm {

// First of all: default signals and an empty mask, own session, no environment, working directory
// /, umask 077, no_new_privs, no core dumps (they would hold the guest's memory).
void SanitizeProcess();

// Closes every descriptor from `first` on, but for those in `keep`.
void CloseAllBut(std::vector<int> keep, int first);

// Limits that follow from the config: open files, and file size as of the largest writable disk.
Status LimitResources(const VmConfig& config);

}  // namespace msb::vmm

#endif  // MSB_VMM_SANITIZE_H_
